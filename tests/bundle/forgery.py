"""Changing a bundle as somebody would who knows how it is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pipeline.artifact import file_digest
from pipeline.bundle import manifest as manifests
from pipeline.bundle.papers import derived_papers, write_sums
from pipeline.bundle.sbom import SBOM_FILE, sbom

Manifest = dict[str, Any]


def manifest_of(folder: Path) -> Manifest:
    manifest: Manifest = json.loads((folder / "manifest.json").read_text())
    return manifest


def forge(folder: Path, change: Callable[[Manifest], object] = lambda manifest: None, *, derive: bool = True) -> None:
    """Change the manifest, and make its digests agree with it and with the files again; ``derive``: the
    papers that are written from it too."""
    manifest = manifest_of(folder)
    change(manifest)
    if manifest["model"] in ("model.onnx", "model.xml") and (folder / manifest["model"]).is_file():
        manifest["sha256"] = file_digest(folder / manifest["model"])
    refresh(folder, manifest)
    if derive:
        for name, text in derived_papers(manifest).items():
            (folder / name).write_text(text)
        with suppress(LookupError, TypeError, ValueError):  # where the manifest is no longer one
            (folder / SBOM_FILE).write_text(sbom(manifest, manifest["files"]))
    seal(folder, manifest)


def seal(folder: Path, manifest: Manifest) -> None:
    """Write the manifest with the digests of the files as they are."""
    refresh(folder, manifest)
    (folder / "manifest.json").write_text(manifests.render(manifests.sealed(manifest)))
    write_sums(folder, manifest)


def refresh(folder: Path, manifest: Manifest) -> None:
    """Let the manifest have the digests of the files as they are."""
    for name in manifest["files"]:
        if (folder / name).is_file():
            manifest["files"][name] = {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size}


def rewrite(folder: Path, text: Callable[[str], str]) -> None:
    """Change the manifest's text, and nothing else."""
    path = folder / "manifest.json"
    path.write_text(text(path.read_text()))


def change_model(folder: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = manifest_of(folder)
    size = sum((folder / name).stat().st_size for name in ("model.onnx", "weights.bin") if name in manifest["files"])
    forge(folder, lambda manifest: manifest["measured"].update(size_bytes=size))


def change_golden(folder: Path, change: Callable[[dict[str, NDArray[Any]]], Mapping[str, NDArray[Any]] | None]) -> None:
    with np.load(folder / "golden.npz") as golden:
        arrays = dict(golden)
    np.savez(folder / "golden.npz", **(change(arrays) or arrays))
    forge(folder)
