"""Reads ONNX graphs: the graphs inside nodes, their tensors, the inputs that are fed, and whether the batch is
fixed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.artifact.files import Artifact
from pipeline.artifact.openvino_file import input_shapes, read_graph
from pipeline.data.batches import Axes
from pipeline.errors import StageFailed

if TYPE_CHECKING:
    import onnx

MAIN_DOMAINS = ("", "ai.onnx")
"""The two names of the domain of ONNX's own operators."""
Shape = tuple[int | None, ...]
"""The sizes of a tensor, None where any will do."""


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that a model uses; 0 where it declares none."""
    return next((entry.version for entry in model.opset_import if entry.domain in MAIN_DOMAINS), 0)


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes: the branches of an If, the body of a Loop or a Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all graphs inside it, the outer ones first."""
    yield graph
    for node in graph.node:
        for inner in inner_graphs(node):
            yield from all_graphs(inner)


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of all graphs inside it."""
    for each in all_graphs(graph):
        yield from each.node


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a model holds: weights and tensors in attributes, in inner graphs and functions too."""
    for graph in all_graphs(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    functions = [node for function in model.functions for node in function.node]
    inside = [inner for node in functions for inner in inner_graphs(node)]
    for node in (*all_nodes(model.graph), *functions, *(node for graph in inside for node in all_nodes(graph))):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
    for graph in inside:
        yield from (tensor for each in all_graphs(graph) for tensor in each.initializer)


def read_in(graph: onnx.GraphProto) -> Iterator[str]:
    """The values that a graph's nodes read, and the nodes of the graphs within them."""
    for node in graph.node:
        yield from reads(node)


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """The values that a node reads, with those that the graphs within it (of an If, a Loop, a Scan) read from
    outside."""
    yield from (name for name in node.input if name)
    yield from inner_reads(node)


def readers_of(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each value, in the order of the graph, those whose inner graphs read it too; no entry where
    none does."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in reads(node):
            readers.setdefault(name, []).append(node)
    return readers


def inner_reads(node: onnx.NodeProto) -> Iterator[str]:
    """The values from outside that the graphs within a node read."""
    for graph in inner_graphs(node):
        made = made_in(graph)
        yield from (name for name in read_in(graph) if name not in made)
        yield from (value.name for value in graph.output if value.name not in made)


def made_in(graph: onnx.GraphProto) -> set[str]:
    """The names that a graph gives to its inputs, constants and results."""
    names = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    names |= {tensor.values.name for tensor in graph.sparse_initializer}
    return names | {name for node in graph.node for name in node.output}


def sort_nodes(graph: onnx.GraphProto) -> bool:
    """Put each node behind the nodes whose results it reads, and else keep the order; returns whether any was moved.
    Raises StageFailed where a node reads its own result, also by way of others."""
    import onnx

    moved = sum(sort_nodes(inner) for node in graph.node for inner in inner_graphs(node)) > 0
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    needed = [{makers[name] for name in reads(node) if name in makers} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for place, makes in enumerate(needed):
        for maker in makes:
            readers.setdefault(maker, []).append(place)
    waiting = [len(makes) for makes in needed]
    ready = [place for place, left in enumerate(waiting) if not left]
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for place in readers.get(order[-1], ()):
            waiting[place] -= 1
            if not waiting[place]:
                heapq.heappush(ready, place)
    if len(order) < len(needed):
        raise StageFailed("the graph has a cycle")
    if order == sorted(order):
        return moved
    nodes = [onnx.NodeProto.FromString(graph.node[place].SerializeToString()) for place in order]
    del graph.node[:]
    graph.node.extend(nodes)
    return True


def fed_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs of a graph that are no weights: older files list both."""
    weights = {tensor.name for tensor in graph.initializer} | {
        tensor.values.name for tensor in graph.sparse_initializer
    }
    return [value for value in graph.input if value.name not in weights]


def shape_of(value: onnx.ValueInfoProto) -> Shape | None:
    """The declared shape of a tensor, None where none is declared. A size of 0 or -1 means that any will do."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(size.dim_value if size.dim_value > 0 else None for size in tensor.shape.dim)


def fed_shapes(model: onnx.ModelProto) -> dict[str, Shape | None]:
    """The declared shape of every input that is fed, by name."""
    return {value.name: shape_of(value) for value in fed_inputs(model.graph)}


def symbols_of(value: onnx.ValueInfoProto) -> tuple[int | str | None, ...] | None:
    """The declared shape with the symbols of its free sizes, where they have any."""
    shape = shape_of(value)
    if shape is None:
        return None
    sizes = value.type.tensor_type.shape.dim
    return tuple(size.dim_param or None if known is None else known for known, size in zip(shape, sizes, strict=True))


def fixed_batch_in(shapes: Iterable[Sequence[object] | None]) -> int | None:
    """The only batch size that inputs of these shapes take; None where any will do.

    The batch is fixed where every input has a size written in its axis 0. An input with a free axis 0 leaves it free: a
    size that is fixed in the others is no batch then (a recurrent state [1, N, H]).
    """
    first = [shape[0] for shape in shapes if shape]
    fixed = [size for size in first if isinstance(size, int) and size > 0]
    return fixed[0] if fixed and len(fixed) == len(first) else None


def batch_first(shapes: Mapping[str, Sequence[object] | None], axes: Axes) -> list[Sequence[object] | None]:
    """The shapes with the batch's axis first, where ``axes`` has it elsewhere; None where an input has no such axis."""
    return [None if shape is None else _batch_first(shape, axes.get(name, 0)) for name, shape in shapes.items()]


def _batch_first(shape: Sequence[object], axis: int | None) -> Sequence[object] | None:
    if axis is None or axis >= len(shape):
        return None
    return [shape[axis], *shape[:axis], *shape[axis + 1 :]]


def fixed_batch_of(artifact: Artifact, axes: Axes) -> int | None:
    """The only batch size that a model takes, as its inputs declare it; None where any will do."""
    if artifact.format == "torch":
        return None
    if artifact.format == "openvino":
        return fixed_batch_in(batch_first(input_shapes(read_graph(artifact.openvino_path)), axes))
    import onnx

    return fixed_batch_in(batch_first(fed_shapes(onnx.load(artifact.onnx_path, load_external_data=False)), axes))
