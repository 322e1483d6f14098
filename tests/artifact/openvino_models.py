"""Models in OpenVINO's own format."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifact import Artifact, folder_digest
from pipeline.artifact.openvino_model import write_converted


def converted(source: Artifact, folder: Path) -> Artifact:
    """An ONNX model in OpenVINO's format."""
    folder.mkdir(parents=True)
    write_converted(source, folder)
    return Artifact(folder, "openvino", folder_digest(folder))
