"""Writes a package: bundles of several variants, with what they share stored once."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.artifact import ONNX_FILE, Artifact, entries_of_files, model_files
from pipeline.bundle import derived
from pipeline.bundle import manifest as manifests
from pipeline.bundle.integrity import read_manifest
from pipeline.bundle.package.kinds import EXACT, MACHINES, Kind, kind_of
from pipeline.bundle.package.layout import ASSETS, Member, asset_name, entries, ordered, own_files
from pipeline.bundle.package.sharing import SHARED_FILE
from pipeline.bundle.package.verify import package_checks
from pipeline.bundle.session import session_entry
from pipeline.bundle.slimline_infer.choice import PACKAGE_FILE
from pipeline.bundle.steps import Options, processes
from pipeline.bundle.sums import SUMS_FILE, sums
from pipeline.bundle.verify import checks_of
from pipeline.bundle.write import MEMORY_GB, PATIENCE_S
from pipeline.errors import Skipped, UserError, VerificationFailed
from pipeline.folders.writing import whole_folder
from pipeline.plan import Target

_COLLECTED = "collected"
_SHARED = SHARED_FILE.format("*")


def packable(artifact: Artifact, target: Target) -> tuple[Kind, Target]:
    """The machines that a model suits, and the target that a package opens it with: one whose int8 products are exact
    on every processor.

    Raises Skipped for a model that ONNX Runtime does not run.
    """
    if artifact.format != "onnx" or target.backend.name != "onnxruntime":
        raise Skipped(
            f"a package holds ONNX models for ONNX Runtime, and target '{target.name}' runs {artifact.format} on "
            f"{target.backend.name}"
        )
    kind = kind_of(artifact.onnx_path, session_entry(target))
    if kind != "vnni":
        return kind, target
    config = {**target.session.get("config", {}), **EXACT}
    return kind, replace(target, session={**target.session, "config": config})


def write_package(out: Path, bundles: Mapping[str, Path]) -> Path:
    """Write bundles of the variants of one model, by variant, as one package; an older one at ``out`` is replaced.

    The bundles are such as ``write_bundle`` wrote of ``packable`` targets. The package takes its name only after every
    variant has been verified. Raises UserError where two variants are for the same machines, VerificationFailed where
    the package does not pass.
    """
    with whole_folder(out) as folder:
        members = [_add(name, bundle, folder) for name, bundle in bundles.items()]
        require_other_machines({name: member.kind for name, member in zip(bundles, members, strict=True)})
        members = _with_assets(ordered(members), folder / ASSETS)
        for name, content in own_files(members).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        package = manifests.sealed({**entries(members), "files": entries_of_files(folder)})
        content = manifests.render(package).encode()
        (folder / PACKAGE_FILE).write_bytes(content)
        (folder / SUMS_FILE).write_bytes(sums(package, content, PACKAGE_FILE).encode())
        _prove(folder)
    return out


def _add(name: str, bundle: Path, folder: Path) -> Member:
    """Copy a bundle's own files to its place, and the weights that it shares to the one for all."""
    manifest, checks = read_manifest(bundle)
    if manifest is None:
        raise VerificationFailed(f"{name}: {checks[-1].detail}")
    once = {*derived.program("onnxruntime"), SUMS_FILE}
    own = sorted({path.relative_to(bundle).as_posix() for path in model_files(bundle)} - once)
    shared = [each for each in own if fnmatchcase(each, _SHARED)]
    kind = kind_of(bundle / ONNX_FILE, manifest["session"])
    member = Member(kind=kind, manifest=manifest, asset=_COLLECTED if shared else None)
    _copy(bundle, folder / member.folder, [each for each in own if each not in shared])
    _copy(bundle, folder / ASSETS / _COLLECTED, shared)
    return member


def _with_assets(members: Sequence[Member], assets: Path) -> list[Member]:
    """Name the folder of the weights by its content. It is one for all, as ONNX Runtime takes one folder a model."""
    if not assets.exists():
        return list(members)
    name = asset_name(assets / _COLLECTED)
    (assets / _COLLECTED).replace(assets / name)
    return [replace(member, asset=name) if member.asset else member for member in members]


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def require_other_machines(kinds: Mapping[str, Kind]) -> None:
    """Raise UserError where two variants, by name, are for the same machines."""
    (kind, count) = Counter(kinds.values()).most_common(1)[0]
    if count > 1:
        alike = " and ".join(f"'{name}'" for name, each in kinds.items() if each == kind)
        raise UserError(
            f"{alike} are for the same machines ({MACHINES[kind]}): a package holds one variant for each kind of "
            "machine, so leave one of them out"
        )


def _prove(folder: Path) -> None:
    with processes() as start:
        options = Options(timeout_s=PATIENCE_S, memory_gb=MEMORY_GB, run_infer=True, start=start)
        failed = [check for check in package_checks(folder, options, checks_of) if not check.passed]
    if failed:
        raise VerificationFailed(
            "\n".join(f"the package was not written: {check.name}: {check.detail}" for check in failed)
        )
