"""The parts of a bundle beside its model, as this version of slimline writes them: the program and its requirements."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pipeline import __version__
from pipeline.bundle.slimline_infer.values import printable

PROGRAM = "infer.py"
SERVER = "serve.py"
PARTS = "slimline_infer"
RUNTIME_PART = "on_"


def program(runtime: str) -> dict[str, bytes]:
    """The files of the program that runs a model on a runtime, by name."""
    package = files("pipeline.bundle")
    parts = {
        f"{PARTS}/{entry.name}": entry.read_bytes()
        for entry in package.joinpath(PARTS).iterdir()
        if entry.name.endswith(".py")
    }
    others = {name for name in parts if name.startswith(f"{PARTS}/{RUNTIME_PART}")} - {
        f"{PARTS}/{RUNTIME_PART}{runtime}.py"
    }
    kept = {name: content for name, content in sorted(parts.items()) if name not in others}
    return {name: package.joinpath(name).read_bytes() for name in (PROGRAM, SERVER)} | kept


def requirements(manifest: Mapping[str, Any]) -> str:
    """The exact versions that the figures were taken with, a line each."""
    libraries: Mapping[str, str] = manifest["measured"]["machine"].get("libraries", {})
    name, alike = _runtime(manifest)
    version = next((libraries[other] for other in (name, *alike) if other in libraries), None)
    extra = "[cuda,cudnn]" if name == "onnxruntime-gpu" else ""
    return _pinned("numpy", libraries.get("numpy")) + _pinned(f"{name}{extra}", version)


def _pinned(name: str, version: str | None) -> str:
    """A local version, such as 2.13.0+cpu, is on no index of packages."""
    return f"{name}=={version.partition('+')[0]}\n" if version else f"{name}\n"


def _runtime(manifest: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The distribution that holds the runtime, and those that hold it too, in the same versions."""
    if manifest["runtime"] != "onnxruntime":
        return manifest["runtime"], ()
    providers = {entry["name"] for entry in manifest["session"]["providers"]}
    if providers & {"CUDAExecutionProvider", "TensorrtExecutionProvider"}:
        return "onnxruntime-gpu", ()
    if "OpenVINOExecutionProvider" in providers:
        return "onnxruntime-openvino", ()
    # Each of them holds the CPU provider; the smallest is enough to deploy on a CPU.
    return "onnxruntime", ("onnxruntime-gpu", "onnxruntime-openvino")


def other_program(manifest: Mapping[str, Any], name: str) -> str:
    """Why a file of the program is refused, and what to do."""
    maker = manifest["slimline"]
    if maker["version"] == __version__:
        return f"{printable(name)} is not the one that slimline {__version__} writes"
    return (
        f"{printable(name)} is not the one that this slimline {__version__} writes, and the bundle says that it was "
        f"made by slimline {maker['version']}: verify it with that version"
    )
