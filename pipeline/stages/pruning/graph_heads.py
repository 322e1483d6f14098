"""Finds attention in a module that was made of an ONNX graph: it has no modules with a number of heads.

The product of queries and keys goes through a softmax, and the values are multiplied with what comes out. The way back
from both products leads to the layers that make queries, keys and values. The way on leads to the layer that reads the
result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pipeline.artifact.onnx_graph import readers_of
from pipeline.stages.pruning.heads import Attention

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

    from pipeline.artifact.onnx_network import OnnxNetwork

    Nodes = Sequence[onnx.NodeProto]


def find_attention_in_graph(module: nn.Module, probe: Sequence[Tensor]) -> Iterator[Attention]:
    """Each attention of an ``OnnxNetwork``, of any other module none. ``probe`` are inputs to run it with."""
    if hasattr(module, "onnx_model"):
        wiring = _Wiring.of(cast("OnnxNetwork", module))
        for node in wiring.nodes:
            found = wiring.attention_at(node, probe) if node.op_type == "Softmax" else None
            if found is not None:
                yield found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wiring:
    """The graph of a network, to follow forwards and backwards."""

    network: OnnxNetwork
    nodes: Nodes
    makers: dict[str, onnx.NodeProto]
    readers: dict[str, list[onnx.NodeProto]]

    @classmethod
    def of(cls, network: OnnxNetwork) -> _Wiring:
        """The graph of a network."""
        graph = network.onnx_model.graph
        makers = {made: node for node in graph.node for made in node.output}
        return cls(network=network, nodes=list(graph.node), makers=makers, readers=readers_of(graph))

    def attention_at(self, softmax: onnx.NodeProto, probe: Sequence[Tensor]) -> Attention | None:
        """The attention that a softmax belongs to; None where it belongs to none."""
        from pipeline.stages.pruning.passes import captured

        between: list[onnx.NodeProto] = []
        scores = self._product(self._before(softmax.input[0], between))
        result = self._product(self._after(softmax.output[0]))
        if scores is None or result is None:
            return None
        layers = self._layers(scores, result)
        if not layers:
            return None
        outputs: int = self.network.get_submodule(layers[0]).out_features
        width = outputs if len(layers) == 3 else outputs // 3
        readers = [self._name(node) for node in self._after(result.output[0]) if self._is_linear(node)]
        operand = captured(self.network, [self._name(scores)], probe, outputs=False)[self._name(scores)]
        return Attention(
            name=self._name(softmax),
            heads=width // operand.shape[-1],
            layers=layers,
            width=width,
            reader=readers[0] if len(readers) == 1 else None,
            parameters=tuple(self._parameters(between)),
        )

    def _layers(self, scores: onnx.NodeProto, result: onnx.NodeProto) -> tuple[str, ...]:
        """The three layers that make queries, keys and values, or the one that makes all; none where others do."""
        values = [name for name in result.input if self._product(self._before(name)) is None]
        makers = [self._before(name) for name in (*scores.input, *values)]
        if len(makers) != 3 or not all(len(found) == 1 and self._is_linear(found[0]) for found in makers):
            return ()
        layers = tuple(dict.fromkeys(self._name(found[0]) for found in makers))
        return layers if len(layers) in (1, 3) else ()

    def _before(self, value: str, passed: list[onnx.NodeProto] | None = None) -> Nodes:
        """The nearest products that a value is made of, those with weights too; the nodes between go to ``passed``."""
        return self._nearest(
            [self.makers[value]] if value in self.makers else [],
            lambda node: [self.makers[name] for name in node.input if name in self.makers],
            [] if passed is None else passed,
        )

    def _after(self, value: str) -> Nodes:
        """The nearest products that read a value, or what is made of it."""
        return self._nearest(
            self.readers.get(value, []),
            lambda node: [reader for name in node.output for reader in self.readers.get(name, [])],
            [],
        )

    def _nearest(
        self,
        first: Iterable[onnx.NodeProto],
        following: Callable[[onnx.NodeProto], Iterable[onnx.NodeProto]],
        passed: list[onnx.NodeProto],
    ) -> Nodes:
        found: list[onnx.NodeProto] = []
        seen: set[str] = set()
        waiting = list(first)
        while waiting:
            node = waiting.pop()
            if node.output[0] in seen:
                continue
            seen.add(node.output[0])
            if self._is_linear(node) or node.op_type == "MatMul":
                found.append(node)
            else:
                passed.append(node)
                waiting.extend(following(node))
        return found

    def _product(self, nodes: Nodes) -> onnx.NodeProto | None:
        """The node, where it is a single one, and no layer."""
        return nodes[0] if len(nodes) == 1 and not self._is_linear(nodes[0]) else None

    def _parameters(self, nodes: Nodes) -> Iterator[str]:
        for constant in dict.fromkeys(name for node in nodes for name in node.input):
            parameter = self.network.parameter_name(constant)
            if parameter is not None:
                yield parameter

    def _is_linear(self, node: onnx.NodeProto) -> bool:
        from torch import nn

        return isinstance(getattr(self.network, self._name(node)), nn.Linear)

    def _name(self, node: onnx.NodeProto) -> str:
        return self.network.module_name(node)
