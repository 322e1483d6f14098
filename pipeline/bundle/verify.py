"""A deploy bundle proves itself on this machine.

This version's own program runs the model, in a process with limits, and runs nothing else that lies in the folder.
Before that, every file has to be the one that the manifest names, and the program, its requirements and the README have
to be what this version writes. That finds damage, mix-ups and files that would run more than a model. Only a signature
(``pipeline.bundle.signature``) tells who made the folder, so it is checked first, where a key is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.bundle.check import Check
from pipeline.bundle.integrity import read_manifest
from pipeline.bundle.manifest import MANIFEST_FILE
from pipeline.bundle.package.verify import is_package, package_checks
from pipeline.bundle.slimline_infer.values import printable
from pipeline.bundle.steps import Options, done, processes, signature_checks, steps
from pipeline.errors import UserError, VerificationFailed

if TYPE_CHECKING:
    from rich.console import Console

LATEST = Path("outputs/latest/deploy")


def verify(folder: Path, console: Console, options: Options | None = None) -> int:
    """Verify a bundle and print a line per check; returns 0 where every check was done and passed.

    Raises UserError for a folder that is no bundle, VerificationFailed where a check did not pass.
    """
    failed = []
    with processes() as start:
        for check in checks_of(folder, replace(options or Options(), start=start)):
            console.print(_outcome(check), end=" ")
            console.print(printable(f"{check.name}: {check.detail}"), markup=False, highlight=False, soft_wrap=True)
            failed += [] if check.passed else [check]
    if failed:
        raise VerificationFailed(f"{folder} did not pass: {'; '.join(check.detail for check in failed)}")
    console.print(f"every check passed: {folder}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _outcome(check: Check) -> str:
    if not check.passed:
        return "[red]FAILED[/]"
    return "[green]ok[/]    " if check.done else "note  "


def verify_bundle(folder: Path, options: Options | None = None) -> list[Check]:
    """The outcome of every check; where one fails, later checks that rely on it are left out.

    Raises UserError for a folder that is no bundle.
    """
    with processes() as start:
        return list(checks_of(folder, replace(options or Options(), start=start)))


def checks_of(folder: Path, options: Options) -> Iterator[Check]:
    """The checks as they are done. The first that fails is the last of its kind: only ``options.more`` are all done.

    Raises UserError for a folder that is no bundle.
    """
    require_bundle(folder)
    signed = signature_checks(folder, options)
    yield from signed
    if not all(check.passed for check in signed):
        return
    yield from (
        package_checks(folder, options, _checks_of_one) if is_package(folder) else _checks_of_one(folder, options)
    )


def _checks_of_one(folder: Path, options: Options) -> Iterator[Check]:
    manifest, checks = read_manifest(folder)
    yield from checks
    if manifest is None or not all(check.passed for check in checks):
        return
    for step in steps(manifest, options):
        checks = done(step, folder, manifest, options)
        yield from checks
        if not all(check.passed for check in checks):
            return
    for step in options.more:
        yield from done(step, folder, manifest, options)


def require_bundle(folder: Path, command: str = "verify") -> None:
    """Raise UserError unless the folder is a bundle, be it a damaged one; ``command`` is what the user typed."""
    if folder.is_dir() and any((folder / name).exists() for name in (MANIFEST_FILE, "infer.py")):
        return
    what = "does not exist" if not folder.exists() else "is a file" if folder.is_file() else "is not a deploy bundle"
    found = [str(path) for path in _bundles_near(folder)]
    exists = f"there is {', '.join(found)}" if found else f"no bundle was found there or in {LATEST}"
    example = found[0] if found else f"{LATEST}/VARIANT"
    raise UserError(
        f"{folder} {what}: expected a folder with {MANIFEST_FILE}, a model and infer.py; {exists}. "
        f"Type: python -m pipeline {command} {example}"
    )


def _bundles_near(folder: Path) -> Iterator[Path]:
    """Bundles that may have been meant: in the folder, in its run, beside the file, or in the newest run."""
    places = [folder, folder / "deploy", folder.parent, LATEST]
    seen = set()
    for place in places:
        candidates = [place, *sorted(place.iterdir())] if place.is_dir() else []
        for path in candidates:
            if (path / MANIFEST_FILE).is_file() and path.resolve() not in seen:
                seen.add(path.resolve())
                yield path
