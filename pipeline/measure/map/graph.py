"""A graph as the map reads it: who makes a value, who reads it, and what depends on what is fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.artifact.onnx_graph import fed_inputs, reads

if TYPE_CHECKING:
    import onnx

QUANTIZE, RESTORE = "QuantizeLinear", "DequantizeLinear"
ROUND = "FakeQuantize"
"""OpenVINO's, in one node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """The nodes that round a value for those who read it, by their places in the graph."""

    quantize: int
    restore: tuple[int, ...] = ()
    restored: tuple[str, ...]
    """The values that readers get in its place."""

    @property
    def nodes(self) -> tuple[int, ...]:
        """All of them."""
        return (self.quantize, *self.restore)


@dataclass(frozen=True)
class Graph:
    """A model's graph, whose nodes are in an order in which each follows what it reads."""

    model: onnx.ModelProto
    unnamed: frozenset[str] = frozenset()
    """The values whose names are made up: the same ones may have others in the next graph."""

    @cached_property
    def nodes(self) -> Sequence[onnx.NodeProto]:
        """The nodes, in the graph's order."""
        return list(self.model.graph.node)

    @cached_property
    def fed(self) -> list[str]:
        """The inputs that are fed."""
        return [value.name for value in fed_inputs(self.model.graph)]

    @cached_property
    def read(self) -> list[list[str]]:
        """The values that each node reads, its inner graphs too."""
        return [list(dict.fromkeys(reads(node))) for node in self.nodes]

    @cached_property
    def readers(self) -> Mapping[str, list[int]]:
        """The nodes that read a value."""
        found: dict[str, list[int]] = {}
        for place, names in enumerate(self.read):
            for name in names:
                found.setdefault(name, []).append(place)
        return found

    @cached_property
    def makers(self) -> Mapping[str, int]:
        """The node that makes a value."""
        return {name: place for place, node in enumerate(self.nodes) for name in node.output if name}

    @cached_property
    def live(self) -> Mapping[str, None]:
        """The values that depend on what is fed, in the order in which they are made, inputs first."""
        found = dict.fromkeys(self.fed)
        for node, names in zip(self.nodes, self.read, strict=True):
            if any(name in found for name in names):
                found.update(dict.fromkeys(name for name in node.output if name))
        return found

    def rounding(self, name: str) -> Rounding | None:
        """How a value is rounded before it is read; None where it is read as it is. Of several roundings the first one
        counts: a layer that has one of its own keeps it."""
        for place in self.readers.get(name, ()):
            node = self.nodes[place]
            if node.op_type == ROUND and node.input[0] == name:
                return Rounding(quantize=place, restored=(node.output[0],))
            if node.op_type != QUANTIZE or node.input[0] != name:
                continue
            restore = [at for at in self.readers.get(node.output[0], ()) if self.nodes[at].op_type == RESTORE]
            if restore and len(restore) == len(self.readers[node.output[0]]):
                restored = tuple(self.nodes[at].output[0] for at in restore)
                return Rounding(quantize=place, restore=tuple(restore), restored=restored)
        return None

    def as_read(self, name: str) -> str:
        """The value that readers of a value get: the restored one, where it is rounded."""
        rounding = self.rounding(name)
        return name if rounding is None else rounding.restored[0]
