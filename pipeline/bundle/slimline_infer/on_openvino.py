"""The model in OpenVINO, with the properties of the manifest."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# On import OpenVINO tells its maker that it is used, where it finds this package to tell it with.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino  # noqa: E402

NAME = "OpenVINO"
ERRORS = (RuntimeError, TypeError)


def wanted_threads(settings: Mapping[str, Any]) -> int:
    """How many threads the figures were taken with."""
    return int(settings["threads"])


class Session:
    """A compiled model."""

    def __init__(self, model: Path, settings: Mapping[str, Any], threads: int) -> None:
        """Compile the model for the manifest's device; raises ERRORS where that can't be done."""
        core = openvino.Core()
        read = core.read_model(str(model))
        # Compiling may merge tensors, and give one of them several names; the file's names are those of what was read.
        self.inputs, self.outputs = describe(read.inputs), describe(read.outputs)
        properties = {**settings["properties"], "INFERENCE_NUM_THREADS": threads}
        self.compiled = core.compile_model(read, settings["device"], properties)
        self.request, self.shapes = self.compiled.create_infer_request(), list[tuple[int, ...]]()
        self.results = list(self.compiled.outputs)

    def __call__(self, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run one batch, as it was timed: inputs are shared, outputs are copies; returns these in the model's order."""
        # By position: a name that is a number, say, would be taken for one.
        arrays = {index: np.require(feed[entry["name"]], requirements="C") for index, entry in enumerate(self.inputs)}
        shapes = [array.shape for array in arrays.values()]
        if shapes != self.shapes:
            # Where a request has shared larger inputs before, OpenVINO 2026.4 may give garbage.
            self.request, self.shapes = self.compiled.create_infer_request(), shapes
        results = self.request.infer(arrays, share_inputs=True)
        return [np.asarray(results[output]) for output in self.results]


def describe(ports: Iterable[Any]) -> list[dict[str, Any]]:
    """The name, NumPy type (or OpenVINO's, where NumPy has none) and shape of each input or output; a size is a number,
    or None."""
    return [
        {"name": min(port.get_names()), "dtype": _dtype(port), "shape": _shape(port.get_partial_shape())}
        for port in ports
    ]


def _dtype(port: Any) -> str:
    kind = port.get_element_type()
    try:
        return str(np.dtype(kind.to_dtype()).name)
    except (RuntimeError, KeyError, TypeError):
        return str(kind)


def _shape(shape: Any) -> list[int | None]:
    if shape.rank.is_dynamic:
        return []
    return [size.get_length() if size.is_static else None for size in shape]
