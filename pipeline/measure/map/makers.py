"""Which stage of a chain wrote a node as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artifact.sameness import print_of, tensor_print
from pipeline.measure.map.graph import Graph
from pipeline.results.map import UNCHANGED

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A graph, and the stages that it came from, joined by ``+``."""

    graph: Graph
    stage: str


def makers(baseline: Graph, chain: Sequence[Written]) -> dict[str, str]:
    """The stage of each node of a chain's last graph, by the node's first result. A node counts as another one where
    its operator, its attributes, the names of what it reads or its weights differ."""
    stages: dict[str, str] = {}
    graph, before = baseline, _marks(baseline)
    for step in chain:
        marks = before if step.graph is graph else _marks(step.graph)
        stages = {
            name: stages.get(name, UNCHANGED) if before.get(name) == mark else step.stage
            for name, mark in marks.items()
        }
        graph, before = step.graph, marks
    return stages


def _marks(graph: Graph) -> dict[str, str]:
    """What makes each node what it is, by its first result."""
    weights = _digests(graph)
    return {node.output[0]: print_of(_told(node, weights)) for node in graph.nodes if node.output}


def _told(node: onnx.NodeProto, weights: Mapping[str, str]) -> Iterable[str | bytes]:
    yield from (node.domain, node.op_type)
    yield from (weights.get(name, name) for name in node.input)
    for attribute in sorted(node.attribute, key=lambda entry: entry.name):
        yield attribute.SerializeToString(deterministic=True)


def _digests(graph: Graph) -> dict[str, str]:
    """What each constant holds; its name may be another one in the next graph."""
    return {
        tensor.name: tensor_print(tensor)
        for tensor in graph.model.graph.initializer
        if tensor.data_type != tensor.STRING
    }
