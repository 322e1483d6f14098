"""A model on disk: its files and the store, its graph or module, running it, and what it counts."""

from pipeline.artifact.files import (
    ONNX_FILE,
    OPENVINO_FILE,
    OPENVINO_WEIGHTS,
    SINGLE_FILE_BYTES,
    Artifact,
    Format,
    entries_of_files,
    file_digest,
    folder_digest,
    model_files,
)

__all__ = [
    "ONNX_FILE",
    "OPENVINO_FILE",
    "OPENVINO_WEIGHTS",
    "SINGLE_FILE_BYTES",
    "Artifact",
    "Format",
    "entries_of_files",
    "file_digest",
    "folder_digest",
    "model_files",
]
