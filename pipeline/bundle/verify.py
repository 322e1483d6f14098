"""A deploy bundle proves itself on this machine.

Hashes come first: nothing in the folder is loaded or run before every file is the one that the manifest names. The
manifest is not signed, so this finds damage and mix-ups, not a forgery.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import ONNX_FILE
from pipeline.bundle.check import Check
from pipeline.bundle.integrity import check_files, check_manifest
from pipeline.bundle.manifest import MANIFEST_FILE
from pipeline.bundle.trial import check_onnx, check_running
from pipeline.errors import UserError, VerificationFailed

if TYPE_CHECKING:
    from rich.console import Console

LATEST = Path("outputs/latest/deploy")


def verify(folder: Path, console: Console) -> int:
    """Verify a bundle and print a line per check; returns 0.

    Raises UserError for a folder that is no bundle, VerificationFailed where a check did not pass.
    """
    checks = verify_bundle(folder)
    for check in checks:
        mark = "[green]ok[/]    " if check.passed else "[red]FAILED[/]"
        console.print(mark, end=" ")
        console.print(f"{check.name}: {check.detail}", markup=False, highlight=False, soft_wrap=True)
    failed = [check for check in checks if not check.passed]
    if failed:
        raise VerificationFailed(f"{folder} did not pass: {'; '.join(check.detail for check in failed)}")
    return 0


def verify_bundle(folder: Path) -> list[Check]:
    """Every check's outcome; where one fails, the later ones that rely on it are left out.

    Raises UserError for a folder that is no bundle.
    """
    _require_bundle(folder)
    checks: list[Check] = []
    for check in (check_manifest, check_files, check_onnx, check_running):
        checks.extend(check(folder))
        if not all(done.passed for done in checks):
            break
    return checks


def _require_bundle(folder: Path) -> None:
    """Raise UserError unless the folder is a bundle, be it a damaged one."""
    if folder.is_dir() and any((folder / name).exists() for name in (MANIFEST_FILE, "infer.py")):
        return
    what = "does not exist" if not folder.exists() else "is a file" if folder.is_file() else "is not a deploy bundle"
    found = [str(path) for path in _bundles_near(folder)]
    exists = f"there is {', '.join(found)}" if found else f"no bundle was found there or in {LATEST}"
    example = found[0] if found else f"{LATEST}/VARIANT"
    raise UserError(
        f"{folder} {what}: expected a folder with {MANIFEST_FILE}, {ONNX_FILE} and infer.py; {exists}. "
        f"Type: python -m pipeline verify {example}"
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
