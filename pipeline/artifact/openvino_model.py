"""A model in OpenVINO's own format, read and run by OpenVINO on the CPU, as all checks run it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.files import OPENVINO_FILE, Artifact
from pipeline.data.batches import Feed
from pipeline.errors import StageFailed, first_line
from pipeline.libraries.telemetry import without_telemetry

ERRORS = (RuntimeError, TypeError)
"""What OpenVINO raises."""
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
"""A processor with AMX would compute in bfloat16 else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A compiled model."""

    file: str
    request: Any
    inputs: dict[str, np.dtype[Any]]
    """The type that each input is read in, by its name."""
    outputs: list[str]

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        """Run one batch, in the types that the model reads; raises StageFailed where that fails."""
        typed = {name: np.require(feed[name], kind, "C") for name, kind in self.inputs.items()}
        try:
            results = self.request.infer(list(typed.values()))  # by place: a name that is a number would be one
        except ERRORS as error:
            raise StageFailed(f"OpenVINO can't run {self.file}: {first_line(error)}") from error
        return [np.asarray(results[place]) for place in range(len(self.outputs))]


def read_model(artifact: Artifact) -> Any:
    """OpenVINO's own object (``openvino.Model``); raises StageFailed where OpenVINO is missing or can't read it."""
    openvino = _library()
    try:
        return openvino.Core().read_model(str(artifact.openvino_path))
    except ERRORS as error:
        raise StageFailed(f"OpenVINO can't read {artifact.openvino_path.name}: {first_line(error)}") from error


def write_converted(source: Artifact, out: Path) -> None:
    """Write an ONNX model to a folder in OpenVINO's own format, otherwise as it is; raises StageFailed where OpenVINO
    is missing or can't."""
    openvino = _library()
    try:
        openvino.save_model(
            openvino.convert_model(str(source.onnx_path)), str(out / OPENVINO_FILE), compress_to_fp16=False
        )
    except ERRORS as error:
        raise StageFailed(f"OpenVINO can't convert {source.onnx_path.name}: {first_line(error)}") from error


def compiled(artifact: Artifact, threads: int) -> Compiled:
    """The model, compiled for the CPU in float32; raises StageFailed where it can't be loaded."""
    return ready(read_model(artifact), artifact.openvino_path.name, threads)


def ready(model: Any, file: str, threads: int) -> Compiled:
    """OpenVINO's own object, compiled in the same way; ``file`` is what messages call it."""
    core = _library().Core()
    # Compiling may merge tensors, and give one of them several names; the file's names are those of what was read.
    inputs = {min(port.get_names()): np.dtype(port.get_element_type().to_dtype()) for port in model.inputs}
    outputs = [min(port.get_names(), default=str(place)) for place, port in enumerate(model.outputs)]
    try:
        compiled = core.compile_model(model, "CPU", {**_EXACT, "INFERENCE_NUM_THREADS": threads})
    except ERRORS as error:
        raise StageFailed(f"OpenVINO can't load {file}: {first_line(error)}") from error
    return Compiled(file=file, request=compiled.create_infer_request(), inputs=inputs, outputs=outputs)


def _library() -> Any:
    try:
        return without_telemetry("openvino")
    except ImportError as error:
        raise StageFailed("OpenVINO is not installed: install the extra 'openvino' (pip install openvino)") from error
