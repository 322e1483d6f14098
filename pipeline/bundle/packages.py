"""The Python packages that a bundle runs on: numpy, the runtime, and whatever these need, as installed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from pipeline.bundle.wheels import Wheels
from pipeline.libraries.distributions import Distribution, installed, with_requirements

LICENCES = "licenses/packages"
"""The folder of a bundle that holds the packages' licence files, a folder each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package in a version."""

    name: str
    version: str
    distribution: Distribution | None
    """What is installed here of it, in this version; None: nothing, or another version."""
    sha256: tuple[str, ...] = ()
    """The digests of its wheels, where they are known."""

    @property
    def licence_files(self) -> dict[str, Path]:
        """Its licence files by the name that they get in the bundle."""
        files = self.distribution.licence_files if self.distribution else {}
        return {f"{LICENCES}/{self.name}/{name}": path for name, path in files.items()}

    @property
    def entry(self) -> dict[str, Any]:
        """The manifest's entry."""
        here = self.distribution
        return {
            "name": self.name,
            "version": self.version,
            "licence": here.licence if here else None,
            "licence_files": sorted(self.licence_files),
            "requires": sorted({name for name, _ in here.requires}) if here else None,
            "sha256": list(self.sha256),
        }


def roots(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What ``infer.py`` imports: numpy and the distribution that holds the runtime, each with its extras."""
    name, *_ = _distributions(manifest)
    return {"numpy": (), name: ("cuda", "cudnn") if name == "onnxruntime-gpu" else ()}


def measured_version(manifest: Mapping[str, Any], root: str) -> str | None:
    """The version of a root that the figures were taken with; None where the manifest does not tell it."""
    libraries: Mapping[str, str] = manifest["measured"]["machine"].get("libraries", {})
    return next((libraries[name] for name in _alike(manifest, root) if name in libraries), None)


def packages(manifest: Mapping[str, Any], wheels: Path | None = None) -> list[Package]:
    """The packages, sorted by name; the manifest need not be whole yet.

    The figures may have been taken with another version of a root than is installed here. It then stands for itself,
    and nothing is said of what it needs. ``wheels`` is a folder with the packages' wheels: raises UserError where it
    lacks one.
    """
    found: dict[str, Package] = {}
    for root, extras in roots(manifest).items():
        for package in _with_what_it_needs(manifest, root, extras):
            found.setdefault(package.name, package)
    ordered = [found[name] for name in sorted(found)]
    return ordered if wheels is None else _hashed(ordered, Wheels.of(wheels))


def requires_python(packages: Sequence[Package]) -> str | None:
    """The versions of Python that all packages take, such as ``>=3.11``; None where none of them says."""
    told = [package.distribution.requires_python for package in packages if package.distribution]
    specifiers = {specifier for text in told if text for specifier in _specifiers(text)}
    floors = [specifier for specifier in specifiers if specifier.operator == ">="]
    kept = specifiers - set(floors) | set(sorted(floors, key=lambda floor: Version(floor.version))[-1:])
    return ",".join(sorted(map(str, kept))) or None


def _specifiers(text: str) -> SpecifierSet:
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return SpecifierSet()


def _with_what_it_needs(manifest: Mapping[str, Any], root: str, extras: Sequence[str]) -> list[Package]:
    version = measured_version(manifest, root)
    if version is None:
        return []
    names = _alike(manifest, root)
    here = next((name for name in names if (found := installed(name)) and found.version == version), None)
    if here is None:
        return [Package(name=root, version=version, distribution=None)]
    return [
        Package(name=root if name == here else name, version=found.version, distribution=found)
        for name, found in with_requirements({here: extras}).items()
        if found is not None
    ]


def _hashed(packages: Sequence[Package], wheels: Wheels) -> list[Package]:
    wheels.require({package.name: package.version for package in packages})
    return [
        Package(
            name=package.name,
            version=package.version,
            distribution=package.distribution,
            sha256=wheels.digests(package.name, package.version),
        )
        for package in packages
    ]


def _alike(manifest: Mapping[str, Any], root: str) -> tuple[str, ...]:
    """The distributions that hold what this root holds, itself first."""
    names = _distributions(manifest)
    return names if root == names[0] else (root,)


def _distributions(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The distribution that holds the runtime, and those that hold it too, in the same versions."""
    if manifest["runtime"] != "onnxruntime":
        return (manifest["runtime"],)
    providers = {entry["name"] for entry in manifest["session"]["providers"]}
    if providers & {"CUDAExecutionProvider", "TensorrtExecutionProvider"}:
        return ("onnxruntime-gpu",)
    if "OpenVINOExecutionProvider" in providers:
        return ("onnxruntime-openvino",)
    # Each of them holds the CPU provider; the smallest is enough to deploy on a CPU.
    return "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"
