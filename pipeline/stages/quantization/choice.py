"""Chooses the nodes that a quantizer takes: a user names nodes of the model, and preparing it has merged some into
others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.patterns import check_matches, matches
from pipeline.stages.quantization.nodes import PRODUCTS, SMOOTHED

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a library is told about a prepared model."""

    excluded: tuple[str, ...]
    """The nodes that stay in float."""
    op_types: tuple[str, ...] | None
    """The only types of nodes that it may quantize; None: all that it can quantize."""


def chosen_nodes(
    plain: onnx.ModelProto,
    prepared: onnx.ModelProto,
    *,
    exclude_nodes: Sequence[str],
    exclude_op_types: Sequence[str] = (),
    op_types: Sequence[str] | None = None,
) -> Choice:
    """The choice among the nodes of ``prepared``, from fields that name nodes (or glob patterns) and types of either.

    A MatMul and an Add, for example, become a Gemm of another name: it is excluded as the MatMul is. Nodes that
    SmoothQuant has inserted are excluded, too: their factors differ so much that 8 bits for all of them leave nothing
    of most. Raises Misnamed where a field names something that neither model has.
    """
    nodes = [*plain.graph.node, *prepared.graph.node]
    kinds = sorted({node.op_type for node in nodes})
    check_matches("exclude_nodes", "node", exclude_nodes, list(dict.fromkeys(node.name for node in nodes if node.name)))
    check_matches("exclude_op_types", "operator type", exclude_op_types, kinds)
    check_matches("op_types", "operator type", op_types or (), kinds)
    before = _Before(plain)
    excluded, wanted = [], set(op_types or ())
    taken = [(node, [node, *before.origin_of(node)]) for node in prepared.graph.node]
    for node, both in taken:
        if op_types is not None and any(each.op_type in op_types for each in both):
            wanted.add(node.op_type)
    for node, both in taken:
        left_out = any(each.op_type in exclude_op_types or matches(each.name, exclude_nodes) for each in both)
        unasked = node.op_type in wanted and not any(each.op_type in (op_types or ()) for each in both)
        if left_out or unasked or node.output[0].endswith(SMOOTHED):
            excluded.append(node.name)
    return Choice(excluded=tuple(excluded), op_types=None if op_types is None else tuple(sorted(wanted)))


class _Before:
    """The nodes of a model as it was, by what tells them in the prepared one."""

    def __init__(self, plain: onnx.ModelProto) -> None:
        nodes = plain.graph.node
        constants = {tensor.name for tensor in plain.graph.initializer}
        products = [node for node in nodes if node.op_type in PRODUCTS]
        self.names: Mapping[str, onnx.NodeProto] = {node.name: node for node in nodes if node.name}
        self.weights: Mapping[str, onnx.NodeProto] = {
            node.input[1]: node for node in products if node.input[1] in constants
        }

    def origin_of(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The node that a prepared one was made of, as its name or its weights tell; none where they don't."""
        found = self.names.get(node.name) or self.names.get(node.name.rpartition("/")[0])
        if found is None and node.op_type in PRODUCTS:
            found = self.weights.get(node.input[1])
        return [] if found is None else [found]
