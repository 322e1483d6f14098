"""Which stage of a chain wrote a node as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.measure.map.graph import Graph
from pipeline.results.map import UNCHANGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A graph, and the stages that it came from, joined by ``+``."""

    graph: Graph
    stage: str


def makers(baseline: Graph, chain: Sequence[Written]) -> dict[str, str]:
    """The stage of each node of a chain's last graph, by the node's first result. A node counts as another one where
    its operator, its attributes, the names of what it reads or its weights differ."""
    stages: dict[str, str] = {}
    before = _marks(baseline)
    for step in chain:
        marks = _marks(step.graph)
        stages = {
            name: stages.get(name, UNCHANGED) if before.get(name) == mark else step.stage
            for name, mark in marks.items()
        }
        before = marks
    return stages


def _marks(graph: Graph) -> dict[str, str]:
    """What makes each node what it is, by its first result."""
    weights = _digests(graph)
    return {node.output[0]: _digest(_told(node, weights)) for node in graph.nodes if node.output}


def _told(node: object, weights: Mapping[str, str]) -> Iterable[bytes]:
    import onnx

    assert isinstance(node, onnx.NodeProto)
    yield f"{node.domain} {node.op_type}".encode()
    for name in node.input:
        yield weights.get(name, name).encode()
    for attribute in sorted(node.attribute, key=lambda entry: entry.name):
        yield attribute.SerializeToString(deterministic=True)


def _digests(graph: Graph) -> dict[str, str]:
    """What each constant holds; its name may be another one in the next graph."""
    from onnx import numpy_helper

    return {
        tensor.name: _digest([str(list(tensor.dims)).encode(), numpy_helper.to_array(tensor).tobytes()])
        for tensor in graph.model.graph.initializer
        if tensor.data_type != tensor.STRING
    }


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()
