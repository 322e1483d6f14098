"""A model on disk and the digest of its bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["torch", "onnx", "openvino"]
ONNX_FILE = "model.onnx"
OPENVINO_FILE = "model.xml"
OPENVINO_WEIGHTS = "model.bin"
SINGLE_FILE_BYTES = 1_900_000_000
"""A protobuf file holds less than 2 GiB; larger models keep their weights beside it."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A folder with a model in it.

    ``path`` is the folder. Format ``onnx``: ``model.onnx`` and its external data, if any. Format ``openvino``: the
    graph in ``model.xml`` and its constants in ``model.bin``, as OpenVINO writes them. Format ``torch``: weights as
    safetensors and ``model.json`` (``pipeline.artifact.torch_module``), never a pickle. ``digest`` covers every file.
    """

    path: Path
    format: Format
    digest: str

    @property
    def onnx_path(self) -> Path:
        """The ONNX file; only for format ``onnx``."""
        return self.path / ONNX_FILE

    @property
    def openvino_path(self) -> Path:
        """The file of the graph; only for format ``openvino``."""
        return self.path / OPENVINO_FILE

    @property
    def size_bytes(self) -> int:
        """Bytes on disk of all files together."""
        return sum(path.stat().st_size for path in model_files(self.path))


def model_files(folder: Path) -> list[Path]:
    """Every file of an artifact's folder, in the order of its name."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entries_of_files(folder: Path) -> dict[str, dict[str, str | int]]:
    """The sha256 and the size in bytes of every file of a folder, by its path in it: what a manifest lists."""
    return {
        path.relative_to(folder).as_posix(): {"sha256": file_digest(path), "bytes": path.stat().st_size}
        for path in model_files(folder)
    }


def folder_digest(folder: Path) -> str:
    """The sha256 over the names and digests of a folder's files."""
    lines = [f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n" for path in model_files(folder)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
