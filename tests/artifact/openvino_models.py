"""Models in OpenVINO's own format."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifact import OPENVINO_FILE, Artifact, folder_digest
from pipeline.libraries.telemetry import without_telemetry


def converted(source: Artifact, folder: Path) -> Artifact:
    """An ONNX model in OpenVINO's format."""
    openvino = without_telemetry("openvino")
    folder.mkdir(parents=True)
    model = openvino.convert_model(str(source.onnx_path))
    openvino.save_model(model, str(folder / OPENVINO_FILE), compress_to_fp16=False)
    return Artifact(folder, "openvino", folder_digest(folder))
