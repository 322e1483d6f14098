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
    stage: str | None
    """None: it is the model before in another format, and no stage has changed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What makes a node what it is."""

    key: str
    """Its first result, or all that it is where that has no name of its own."""
    print: str
    made: str


def makers(baseline: Graph, chain: Sequence[Written]) -> dict[str, str]:
    """The stage of each node of a chain's last graph, by the node's first result. A node counts as another one where
    its operator, its attributes, the names of what it reads or its weights differ."""
    stages: dict[str, str] = {}
    graph, marks = baseline, _marks(baseline)
    for step in chain:
        before = {mark.key: mark.print for mark in marks}
        marks = marks if step.graph is graph else _marks(step.graph)
        stages = {
            mark.key: stages.get(mark.key, UNCHANGED)
            if step.stage is None or before.get(mark.key) == mark.print
            else step.stage
            for mark in marks
        }
        graph = step.graph
    return {mark.made: stages[mark.key] for mark in marks}


def _marks(graph: Graph) -> list[_Mark]:
    """What makes each node what it is."""
    known, found = _digests(graph), []
    for node in graph.nodes:
        own = print_of(_told(node, known))
        known.update({name: f"{own}:{place}" for place, name in enumerate(node.output) if name in graph.unnamed})
        if node.output:
            made = node.output[0]
            found.append(_Mark(key=own if made in graph.unnamed else made, print=own, made=made))
    return found


def _told(node: onnx.NodeProto, known: Mapping[str, str]) -> Iterable[str | bytes]:
    yield from (node.domain, node.op_type)
    yield from (known.get(name, name) for name in node.input)
    for attribute in sorted(node.attribute, key=lambda entry: entry.name):
        yield attribute.SerializeToString(deterministic=True)


def _digests(graph: Graph) -> dict[str, str]:
    """What each constant holds; its name may be another one in the next graph."""
    return {
        tensor.name: tensor_print(tensor)
        for tensor in graph.model.graph.initializer
        if tensor.data_type != tensor.STRING
    }
