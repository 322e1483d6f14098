"""Finds how large the whole numbers may be that an ONNX model is fed: they are rows of its embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.artifact.onnx_graph import fed_inputs

if TYPE_CHECKING:
    import onnx

_PASSES = frozenset(("Cast", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"))
"""Operators whose result holds no other numbers than their first input."""
_TABLES: Mapping[str, Mapping[int, int]] = {
    "Gather": {1: 0},
    "GatherBlockQuantized": {1: 0},
    "EmbedLayerNormalization": {0: 2, 1: 4},
}
"""The places of the indices among an operator's inputs, each with the place of the table that they choose from."""
_UNPACKS = frozenset(("Cast", "DequantizeLinear", "Identity"))
"""Operators that turn a stored table into another type."""


def rows_of_tables(graph: onnx.GraphProto) -> dict[str, int]:
    """The rows of the smallest table that each input chooses from: an embedding's vocabulary, or its positions.

    An input without a table is left out.
    """
    tables = _tables(graph)
    rows: dict[str, int] = {}
    sources = {value.name: value.name for value in fed_inputs(graph)}
    for node in graph.node:
        if node.op_type in _PASSES and node.input[0] in sources:
            sources[node.output[0]] = sources[node.input[0]]
        for place, table in _TABLES.get(node.op_type, {}).items():
            if max(place, table) >= len(node.input):
                continue
            source, dims = sources.get(node.input[place]), tables.get(node.input[table])
            if source is not None and dims:
                size = dims[_axis(node)]
                rows[source] = min(rows.get(source, size), size)
    return rows


def _tables(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """The shapes of a graph's constants by name, in whatever type they are stored."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            shapes[node.output[0]] = tuple(node.attribute[0].t.dims)
        elif node.op_type in _UNPACKS and node.input and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
    return shapes


def _axis(node: onnx.NodeProto) -> int:
    if node.op_type == "EmbedLayerNormalization":
        return 0
    return next((item.i for item in node.attribute if item.name in ("axis", "gather_axis")), 0)
