"""Finds values whose channels can be scaled between the layers that make and read them, and scales them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.onnx_graph import readers_of
from pipeline.artifact.onnx_rewriting import drop_unused, fresh_name
from pipeline.stages.quantization.channel_ranges import Channelled, Floats, Reader
from pipeline.stages.quantization.products import channel_axis

if TYPE_CHECKING:
    import onnx

_ACTIVATIONS = ("Relu", "LeakyRelu", "Identity", "Dropout")
_POOLINGS = ("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool")
"""Both make of a value divided by a positive factor the result divided by it, channel by channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A layer, and the layers that alone read what it makes, maybe through a ReLU or a pooling."""

    maker: str
    """The name of the node."""
    readers: tuple[str, ...]
    """The names of the nodes."""
    name: str
    """The name of what the maker makes, behind the activation and before any pooling."""
    value: Channelled
    passes_constants: bool
    """Whether a number that is added to a channel arrives at the readers as it is, as long as the channel stays above
    0: no pooling and no cut lies between."""


def links(model: onnx.ModelProto) -> list[Link]:
    """Every layer of a graph whose channels can be scaled, in the order of the graph."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    read = readers_of(graph)
    outputs = {value.name for value in graph.output}
    found = []
    for node in graph.node:
        if not _makes(node, constants):
            continue
        value = seen = node.output[0]
        pooled = cut = False
        while value not in outputs and len(read.get(value, [])) == 1:
            (behind,) = read[value]
            pooled = pooled or behind.op_type in _POOLINGS
            if not (behind.op_type in (*_ACTIVATIONS, *_POOLINGS) or (_is_relu6(behind, constants) and not pooled)):
                break
            cut = cut or behind.op_type == "Clip"
            value = behind.output[0]
            seen = seen if pooled else value
        readers = read.get(value, [])
        dims = constants[node.input[1]].dims
        channels = dims[channel_axis(node, len(dims))]
        if value in outputs or not readers or not all(_reads(each, value, channels, constants) for each in readers):
            continue
        names = tuple(each.name for each in readers)
        weights = constants[node.input[1]]
        made = Channelled(channels=channels, behind=len(weights.dims) - 2, kind=weights.data_type)
        passes = not (pooled or cut)
        found.append(Link(maker=node.name, readers=names, name=seen, value=made, passes_constants=passes))
    return found


def reader_of(node: onnx.NodeProto, weights: NDArray[np.generic]) -> Reader:
    """A layer, and how it reads channels."""
    array = weights.astype(np.float64)
    if node.op_type in ("Gemm", "MatMul"):
        turned = array if _turned(node) else array.T
        return Reader(turned[..., None], np.broadcast_to(np.arange(turned.shape[1]), turned.shape))
    outputs, each = array.shape[:2]
    groups = _group(node)
    first = np.repeat(np.arange(groups) * each, outputs // groups)
    return Reader(array.reshape(outputs, each, -1), first[:, None] + np.arange(each))


def scale(model: onnx.ModelProto, factors: Mapping[Link, Floats]) -> None:
    """Divide what each link's maker makes by factors [C], and multiply the weights that read it."""
    from onnx import numpy_helper

    graph = model.graph
    nodes = {node.name: node for node in graph.node}
    arrays = {tensor.name: tensor for tensor in graph.initializer}

    def change(node: onnx.NodeProto, position: int, factor: Floats) -> None:
        before = numpy_helper.to_array(arrays[node.input[position]])
        fresh = fresh_name(model, f"{node.input[position]}_equalized")
        after = numpy_helper.from_array((before * factor).astype(before.dtype), fresh)
        graph.initializer.append(after)
        arrays[fresh] = after
        node.input[position] = fresh

    for link, factor in factors.items():
        maker = nodes[link.maker]
        rank = len(arrays[maker.input[1]].dims)
        change(maker, 1, _along(1 / factor, rank, channel_axis(maker, rank)))
        if len(maker.input) > 2 and maker.input[2]:
            change(maker, 2, 1 / factor)
        for name in link.readers:
            reader = nodes[name]
            change(reader, 1, _by_input(reader, arrays[reader.input[1]].dims, factor))
    drop_unused(model)


def _by_input(reader: onnx.NodeProto, dims: Sequence[int], factor: Floats) -> Floats:
    """Factors of the channels that a layer reads, in a form that its weights can be multiplied by."""
    if reader.op_type == "Gemm":
        return _along(factor, 2, 1 if _turned(reader) else 0)
    groups = _group(reader)
    per_row = np.repeat(factor.reshape(groups, -1), dims[0] // groups, axis=0)  # [O, C / groups]
    return per_row.reshape(*per_row.shape, *[1] * (len(dims) - 2))


def _along(values: Floats, rank: int, axis: int) -> Floats:
    return values.reshape([-1 if place == axis else 1 for place in range(rank)])


def _makes(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a node is a layer whose outputs can be scaled one by one."""
    if node.op_type not in ("Conv", "Gemm") or node.input[1] not in constants:
        return False
    bias = node.input[2] if len(node.input) > 2 else ""
    if bias and (bias not in constants or len(constants[bias].dims) != 1 or constants[bias].dims[0] == 1):
        return False
    return node.op_type == "Conv" or is_plain(node)


def _reads(node: onnx.NodeProto, value: str, channels: int, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a node is a layer that reads the value's channels by weights that can be scaled."""
    if node.op_type not in ("Conv", "Gemm") or list(node.input).count(value) != 1 or node.input[0] != value:
        return False
    if node.input[1] not in constants:
        return False
    dims = constants[node.input[1]].dims
    if node.op_type == "Gemm":
        return is_plain(node) and dims[1 if _turned(node) else 0] == channels
    return bool(dims[1] * _group(node) == channels)


def is_plain(gemm: onnx.NodeProto) -> bool:
    """Whether it reads its first factor as it is, not transposed."""
    return not any(entry.name == "transA" and entry.i for entry in gemm.attribute)


def _turned(gemm: onnx.NodeProto) -> bool:
    return any(entry.name == "transB" and entry.i for entry in gemm.attribute)


def _group(node: onnx.NodeProto) -> int:
    return next((entry.i for entry in node.attribute if entry.name == "group"), 1)


def _is_relu6(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a node cuts below 0 and above any constant. A channel that gets there is the largest there is, and keeps
    its scale; the others stay below."""
    from onnx import numpy_helper

    if node.op_type != "Clip":
        return False
    given = {entry.name: entry.f for entry in node.attribute}
    for name, tensor in zip(("min", "max"), node.input[1:], strict=False):
        if tensor:
            given[name] = float(numpy_helper.to_array(constants[tensor])) if tensor in constants else np.nan
    return bool(given.get("min") == 0 and not np.isnan(given.get("max", np.inf)))
