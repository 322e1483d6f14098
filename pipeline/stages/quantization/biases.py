"""Where the products of a graph get their biases, and how these are changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.onnx_graph import readers_of, reads
from pipeline.artifact.onnx_rewriting import drop_unused, fresh_name
from pipeline.stages.quantization.nodes import products
from pipeline.stages.quantization.products import channel_axis

if TYPE_CHECKING:
    import onnx

LARGEST_BIAS = 2**30
"""The largest integer that a bias in 32 bits becomes: the sum that it is added to has room left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Biased:
    """A node whose result has a bias for each channel, or could have one."""

    node: str
    """Its name: the product, or the Add behind a MatMul."""
    product: str
    """The name of the product."""
    channels: int
    behind: int
    """How many axes its result has behind the channels."""
    constant: str | None
    """The constant that holds the bias; None where there is none yet."""
    kind: int
    """The type of the weights, as ONNX numbers types."""


def biased(model: onnx.ModelProto) -> tuple[list[Biased], dict[str, str]]:
    """The products with constant weights as nodes with biases, in the order of the graph; and why the others can't have
    one, by name."""
    graph = model.graph
    sizes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    readers = readers_of(graph)
    outputs = {value.name for value in graph.output}
    found, alone = [], {}
    for node in products(model):
        weights, channels = sizes[node.input[1]], channels_of(node, sizes[node.input[1]])
        adds, constant = node, node.input[2] if len(node.input) > 2 else ""
        if node.op_type == "MatMul":
            behind = readers.get(node.output[0], [])
            if len(behind) != 1 or behind[0].op_type != "Add" or node.output[0] in outputs:
                alone[node.name] = "nothing adds a bias to its result"
                continue
            adds = behind[0]
            constant = next(name for name in [*adds.input, ""] if name != node.output[0])
        if (constant or adds is not node) and int(np.prod(sizes.get(constant, (0,)))) != channels:
            alone[node.name] = "what is added to its result is not a constant for each channel"
            continue
        convolves = node.op_type in ("Conv", "ConvTranspose")
        found.append(
            Biased(
                node=adds.name,
                product=node.name,
                channels=channels,
                behind=len(weights) - 2 if convolves else 0,
                constant=constant or None,
                kind=kinds[node.input[1]],
            )
        )
    return found, alone


def shift(model: onnx.ModelProto, shifts: Mapping[Biased, NDArray[np.float64]]) -> None:
    """Add to the bias of each node what ``shifts`` has [C]."""
    from onnx import helper, numpy_helper

    graph = model.graph
    nodes = {node.name: node for node in graph.node}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for place, values in shifts.items():
        node = nodes[place.node]
        if place.constant is None:
            kind = helper.tensor_dtype_to_np_dtype(place.kind)
            node.input.append(_added(model, f"{place.node}_bias", values.astype(kind)))
            continue
        before = numpy_helper.to_array(constants[place.constant])
        after = (before + values.reshape(before.shape)).astype(before.dtype)
        position = list(node.input).index(place.constant)
        node.input[position] = _added(model, place.constant, after)
    drop_unused(model)


def steps(model: onnx.ModelProto, places: Sequence[Biased]) -> list[list[Biased]]:
    """The nodes in the order of the graph, those together of which none depends on another."""
    numbers = {place.node: number for number, place in enumerate(places)}
    before: dict[str, int] = {}  # for each value, the places that it depends on, a bit each
    needed = [0] * len(places)
    for node in model.graph.node:
        found = 0
        for name in reads(node):
            found |= before.get(name, 0)
        if node.name in numbers:
            needed[numbers[node.name]] = found
            found |= 1 << numbers[node.name]
        before.update(dict.fromkeys(node.output, found))
    groups: list[list[Biased]] = []
    together = 0
    for number, place in enumerate(places):
        if not groups or needed[number] & together:
            groups.append([])
            together = 0
        groups[-1].append(place)
        together |= 1 << number
    return groups


def channels_of(node: onnx.NodeProto, weights: Sequence[int]) -> int:
    """How many channels the result of a product has whose weights have this shape."""
    groups = next((entry.i for entry in node.attribute if entry.name == "group"), 1)
    return weights[channel_axis(node, len(weights))] * (groups if node.op_type == "ConvTranspose" else 1)


def _added(model: onnx.ModelProto, name: str, values: NDArray[np.generic]) -> str:
    from onnx import numpy_helper

    fresh = fresh_name(model, name)
    model.graph.initializer.append(numpy_helper.from_array(values, fresh))
    return fresh
