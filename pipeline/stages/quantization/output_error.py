"""Counts a model's activations by what their errors do to the products that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.stages.quantization.channel_ranges import Channelled, Floats
from pipeline.stages.quantization.links import is_plain, reader_of
from pipeline.stages.quantization.observing import Observing, by_channel, expose

if TYPE_CHECKING:
    import onnx

_READING = ("Conv", "Gemm", "MatMul")
_BINS = 2048


def read_by_products(model: onnx.ModelProto) -> dict[str, tuple[Channelled, Floats]]:
    """The values that products with constant weights read, and what an error in each of their channels [C] does to the
    products' outputs: the squares of the weights that read it, summed."""
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found: dict[str, tuple[Channelled, Floats]] = {}
    for node in model.graph.node:
        if node.op_type not in _READING or node.input[0] in constants or node.input[1] not in constants:
            continue
        weights = constants[node.input[1]]
        if node.op_type != "Conv" and (len(weights.dims) != 2 or not is_plain(node)):
            continue
        reader = reader_of(node, numpy_helper.to_array(weights))
        channels = int(reader.channels.max()) + 1
        squares = np.square(reader.weights).sum(2)
        weight = np.bincount(reader.channels.ravel(), squares.ravel(), minlength=channels).astype(np.float64)
        behind = len(weights.dims) - 2
        value = Channelled(channels=channels, behind=behind, kind=weights.data_type)
        before = found.get(node.input[0])
        if before is not None and before[0] != value:
            del found[node.input[0]]  # its channels lie on two axes
            continue
        found[node.input[0]] = value, weight if before is None else before[1] + weight
    return found


def weighed(
    model: onnx.ModelProto, observing: Observing, ranges: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[Floats, Floats]]:
    """The histogram [B] and its edges [B + 1] of each value that products read and that has a range here: each number
    counts as much as an error in its channel does."""
    values = {name: found for name, found in read_by_products(model).items() if name in ranges}
    if not values:
        return {}
    expose(model, {name: value.kind for name, (value, _) in values.items()})
    session = observing.session(model, "weighed")
    counts = {name: np.zeros(_BINS) for name in values}
    for arrays, mask in observing.values(session, list(values)):
        for (name, (value, weight)), array in zip(values.items(), arrays, strict=True):
            counts[name] += weight @ _counted(by_channel(array, value.behind, mask), *ranges[name])
    return {name: (counts[name], np.linspace(*ranges[name], _BINS + 1)) for name in values}


def _counted(rows: NDArray[np.floating[Any]], low: float, high: float) -> NDArray[np.intp]:
    """How many of each channel's values [P, C] lie in each of the bins [C, B]."""
    channels = rows.shape[1]
    scaled = np.nan_to_num((rows - low) * (_BINS / (high - low)))
    places = np.clip(scaled, 0, _BINS - 1).astype(np.int32)
    places += np.arange(channels, dtype=np.int32) * _BINS
    return np.bincount(places.ravel(), minlength=channels * _BINS).reshape(channels, _BINS)
