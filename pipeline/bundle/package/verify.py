"""A package proves itself: each variant as a bundle of its own, then what ONNX Runtime and infer.py choose here.

A variant's files and those that the package stores once make a bundle again, in a temporary folder, which is verified
as any bundle is. What judges and times a model on this machine does so with the variant that this machine takes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pipeline.bundle import manifest as manifests
from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.integrity import check_files, content_of, read_manifest
from pipeline.bundle.package import choices
from pipeline.bundle.package.kinds import kind_of
from pipeline.bundle.package.layout import Member, asset_name, entries, own_files
from pipeline.bundle.papers import write_sums
from pipeline.bundle.slimline_infer.choice import CUDA, PACKAGE_FILE, has_cuda
from pipeline.bundle.slimline_infer.values import printable
from pipeline.bundle.steps import Options, limits_of, run_infer
from pipeline.bundle.sums import SUMS_FILE, sums
from pipeline.errors import WorkerFailed
from pipeline.isolated import run

Checks = Iterator[Check]
OfBundle = Callable[[Path, Options], Checks]
"""The checks of a bundle of one model."""


def is_package(folder: Path) -> bool:
    """Whether a folder is a package, be it a damaged one."""
    return (folder / PACKAGE_FILE).exists()


def manifest_here(folder: Path) -> dict[str, Any] | None:
    """The manifest of the model that runs on this machine: a bundle's own, or that of the variant that a package has
    for it. None where it can't be read, or the package has none."""
    place = run(choices.here, folder) if is_package(folder) else folder
    return None if place is None else read_manifest(place)[0]


def package_checks(folder: Path, options: Options, of_bundle: OfBundle) -> Checks:
    """The checks as they are done; the last one has failed unless all were done and passed."""
    package: dict[str, Any] = {}
    for step in (
        lambda: _read(folder, package),
        lambda: check_files(folder, package, options.timeout_s, PACKAGE_FILE),
        lambda: _assets(folder, package),
        lambda: _variants(folder, package, options, of_bundle),
        lambda: _together(folder, package, options),
        lambda: run_infer(folder, package, options) if options.run_infer else [],
    ):
        passed = True
        try:
            for check in step():
                yield check
                passed = passed and check.passed
        except WorkerFailed as error:
            yield Check("package", False, str(error))
            return
        if not passed:
            return


def _read(folder: Path, package: dict[str, Any]) -> Checks:
    """Fill in package.json's content, where it passes."""
    try:
        content = content_of(folder / PACKAGE_FILE, manifests.MOST_BYTES)
        found = manifests.parse(content)
        problems = _problems(found, content)
    except (OSError, manifests.Unreadable) as error:
        yield Check("package", False, str(error).replace(manifests.MANIFEST_FILE, PACKAGE_FILE))
        return
    package.update({} if problems else found)
    yield from_problems("package", problems, f"{PACKAGE_FILE} is valid by its schema, and unchanged")


def _problems(package: Mapping[str, Any], content: bytes) -> list[str]:
    errors = sorted(_validator().iter_errors(package), key=lambda error: error.json_path)
    if errors:
        return [
            f"{PACKAGE_FILE}, {printable(error.json_path)}: {printable(error.message)[:200]}" for error in errors[:5]
        ]
    sealed = manifests.sealed(package)
    if sealed["digest"] != package["digest"] or manifests.render(package).encode() != content:
        return [f"{PACKAGE_FILE} was changed after it was written (its content doesn't match its own digest)"]
    return []


@lru_cache(maxsize=1)
def _validator() -> Any:
    import jsonschema

    schema = json.loads(files(__package__).joinpath("package.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


def _assets(folder: Path, package: Mapping[str, Any]) -> Checks:
    """ONNX Runtime finds a shared folder by its name alone, so the name has to be that of its content."""
    names = sorted({entry["shared_weights"] for entry in package["variants"]} - {None})
    wrong = [
        f"{name} has not the name of its content" for name in names if asset_name(folder / name) != Path(name).name
    ]
    yield from_problems("shared weights", wrong, ", ".join(names) or "none")


def _variants(folder: Path, package: Mapping[str, Any], options: Options, of_bundle: OfBundle) -> Checks:
    here = run(choices.here, folder, limits=limits_of(package, options), start=options.start) if options.more else None
    for entry in package["variants"]:
        own = replace(options, run_infer=False, more=options.more if folder / entry["folder"] == here else ())
        for check in _variant(folder, package, entry, own, of_bundle):
            yield replace(check, name=f"{printable(entry['name'])}: {check.name}")
    if here is None:
        for name in (name for step in options.more for name in step.names):
            yield Check(name, False, "the package has no variant for this machine")


def _variant(
    folder: Path, package: Mapping[str, Any], entry: Mapping[str, Any], options: Options, of_bundle: OfBundle
) -> Checks:
    manifest, checks = read_manifest(folder / entry["folder"])
    if manifest is None or not all(check.passed for check in checks):
        yield from checks
        return
    if manifest["runtime"] != "onnxruntime" or manifest["name"] != entry["name"]:
        yield Check("manifest", False, f"it is not of the model '{printable(entry['name'])}' for ONNX Runtime")
        return
    can_run = entry["kind"] != "cuda" or run(has_cuda, limits=limits_of(package, options), start=options.start)
    with tempfile.TemporaryDirectory(prefix="slimline-") as place:
        bundle = Path(place) / "bundle"
        _assemble(folder, entry, manifest, bundle)
        passed = True
        for check in of_bundle(bundle, replace(options, run_model=can_run)):
            yield check
            passed = passed and check.passed
        if not passed:
            return
        kind = run(
            kind_of,
            bundle / manifest["model"],
            manifest["session"],
            limits=limits_of(package, options),
            start=options.start,
        )
    if not can_run:
        told = f"not compared here: this machine or its onnxruntime has no {CUDA}"
        yield Check("golden outputs", True, told, done=False)
    wrong = [] if kind == entry["kind"] else [f"the package says '{entry['kind']}', and the model is of kind '{kind}'"]
    yield from_problems("machines", wrong, f"kind '{kind}'")


def _assemble(folder: Path, entry: Mapping[str, Any], manifest: Mapping[str, Any], out: Path) -> None:
    """A bundle of a variant's own files, and of those of its manifest that the package stores once."""
    shutil.copytree(folder / entry["folder"], out)  # copies: ONNX refuses a file of weights with several names
    once = [folder, *([folder / entry["shared_weights"]] if entry["shared_weights"] else [])]
    for name in manifest["files"]:
        found = next((place / name for place in once if (place / name).is_file()), None)
        if found is not None and not (out / name).exists():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, out / name)
    write_sums(out, manifest)


def _together(folder: Path, package: Mapping[str, Any], options: Options) -> Checks:
    """What lies beside the variants is what they call for; then ONNX Runtime and infer.py choose."""
    members = [_member(folder, entry) for entry in package["variants"]]
    wanted = own_files(members)
    changed = [
        f"{name} is not what the variants call for"
        for name, content in wanted.items()
        if name not in package["files"] or (folder / name).read_bytes() != content
    ]
    same = {name: value for name, value in package.items() if name not in ("files", "digest")} == entries(members)
    changed += [] if same else [f"{PACKAGE_FILE} is not what the variants call for"]
    listed = sums(package, (folder / PACKAGE_FILE).read_bytes(), PACKAGE_FILE).encode()
    changed += [] if (folder / SUMS_FILE).read_bytes() == listed else [f"{SUMS_FILE} is not what {PACKAGE_FILE} lists"]
    changed += [f"{printable(name)} has no use" for name in sorted(set(package["files"]) - _used(members, wanted))]
    yield from_problems("package files", changed, "derived from the variants")
    if changed:
        return
    yield from run(choices.check, folder, limits=limits_of(package, options), start=options.start)


def _member(folder: Path, entry: Mapping[str, Any]) -> Member:
    manifest = json.loads((folder / entry["folder"] / manifests.MANIFEST_FILE).read_text(encoding="utf-8"))
    asset = entry["shared_weights"]
    return Member(kind=entry["kind"], manifest=manifest, asset=asset and Path(asset).name)


def _used(members: Sequence[Member], own: Mapping[str, bytes]) -> set[str]:
    variants = {
        f"{member.folder}/{name}" for member in members for name in (*member.manifest["files"], "manifest.json")
    }
    shared = {f"shared_assets/{member.asset}/{name}" for member in members for name in member.manifest["files"]}
    return {*own, *variants, *shared}
