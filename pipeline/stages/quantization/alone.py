"""Runs a model with one of its layers quantized and all others in float, from that layer on.

What comes before the layer is run once: the values that later nodes read are kept for all examples, and go on from
layer to layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.onnx_graph import reads
from pipeline.artifact.run import Outputs, collected, typed
from pipeline.data.batches import Feed, batch, count_of
from pipeline.stages.quantization.simulated import Simulated

if TYPE_CHECKING:
    import onnx
    import onnxruntime

Values = dict[str, NDArray[Any]]
_OWN = "slimline_alone"
"""The names of what a trial adds begin so."""


@dataclass(slots=True, kw_only=True)
class Alone:
    """A model, and the same one quantized, whose nodes have the same names."""

    model: onnx.ModelProto
    """In float; its nodes are sorted."""
    simulated: Simulated
    session: Callable[[onnx.ModelProto], onnxruntime.InferenceSession]
    size: int
    """How many examples run in one call."""
    most_bytes: int
    """The memory for the values between two layers; there are fewer examples where these would take more."""
    _makers: dict[str, onnx.NodeProto] = field(init=False)
    _place: int = field(default=0, init=False)
    """The first node that has not been run."""
    _batches: list[Values] = field(default_factory=list, init=False)
    """Of each batch the values that nodes from there on read, and outputs that are there already."""
    _count: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._makers = {name: node for node in self.simulated.nodes.values() for name in node.output}

    def outputs(self, names: Sequence[str], feed: Feed) -> Iterator[tuple[str, Outputs | None]]:
        """The model's outputs [N, ...] with each of the named nodes quantized by itself, in the order of the graph;
        None for a node that is in float in the quantized model, too. ``feed`` may have more than N examples."""
        self._count, self._place = count_of(feed), 0
        self._batches = [dict(batch(feed, at, self.size, self.size)) for at in range(0, self._count, self.size)]
        wanted = set(names)
        for place, node in enumerate(self.model.graph.node):
            if node.name not in wanted:
                continue
            quantized = self.simulated.nodes.get(node.name)
            if quantized is None or not self._is_quantized(quantized):
                yield node.name, None
                continue
            self._advance(place)
            yield node.name, self._trial(place, quantized)

    def _is_quantized(self, node: onnx.NodeProto) -> bool:
        return any(name in self.simulated.steps or self._restored(name) is not None for name in node.input)

    def _restored(self, name: str) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
        """The nodes that round a value and restore it, where that is how it was made."""
        restore = self._makers.get(name)
        if restore is None or restore.op_type != "DequantizeLinear":
            return None
        rounding = self._makers.get(restore.input[0])
        return None if rounding is None or rounding.op_type != "QuantizeLinear" else (rounding, restore)

    def _advance(self, place: int) -> None:
        """Run what lies before a node, unless that makes values that can't be handed on."""
        nodes = list(self.model.graph.node)
        names = sorted(self._read_from(place) & {*self._batches[0], *_made(nodes[self._place : place])})
        new = [name for name in names if name not in self._batches[0]]
        found: list[Values] = []
        if new:
            session = self._session_of(nodes[self._place : place], [_named(name) for name in new])
            for values in self._batches:
                made = dict(zip(new, session.run(new, self._of(values, session)), strict=True))
                if not all(isinstance(value, np.ndarray) for value in made.values()):
                    return
                found.append({name: made[name] if name in made else values[name] for name in names})
                if len(found) * sum(value.nbytes for value in found[0].values()) > self.most_bytes:
                    break
            self._count = min(self._count, len(found) * self.size)
        else:
            found = [{name: values[name] for name in names} for values in self._batches]
        self._place, self._batches = place, found

    def _read_from(self, place: int) -> set[str]:
        """What is read from a node on, and the model's outputs."""
        graph = self.model.graph
        return {name for node in graph.node[place:] for name in reads(node)} | {value.name for value in graph.output}

    def _trial(self, place: int, quantized: onnx.NodeProto) -> Outputs:
        graph = self.model.graph
        own, constants = self._rounded(graph.node[place], quantized)
        nodes = [*graph.node[self._place : place], *own, *graph.node[place + 1 :]]
        made = _made(nodes)
        session = self._session_of(nodes, [value for value in graph.output if value.name in made], constants)
        fresh = [value.name for value in session.get_outputs()]
        calls = []
        for values in self._batches:
            outputs = dict(zip(fresh, session.run(fresh, self._of(values, session)), strict=True))
            calls.append([outputs.get(value.name, values.get(value.name)) for value in graph.output])
        return collected(calls, self.size, self._count, [value.name for value in graph.output]).outputs

    def _rounded(
        self, node: onnx.NodeProto, quantized: onnx.NodeProto
    ) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
        """A node that reads and makes what it does in the quantized model, and its constants."""
        import onnx

        mine = onnx.NodeProto()
        mine.CopyFrom(node)
        before: list[onnx.NodeProto] = []
        constants: dict[str, NDArray[Any]] = {}
        for number, (name, theirs) in enumerate(zip(node.input, quantized.input, strict=False)):
            restored = self._restored(theirs)
            if self.simulated.has(theirs):
                mine.input[number] = f"{_OWN}_{number}"
                constants[mine.input[number]] = self.simulated.get(theirs)
            elif restored is not None:
                mine.input[number] = f"{_OWN}_{number}"
                before += self._copies(restored, name, mine.input[number], constants)
        after: list[onnx.NodeProto] = []
        rounding = self._reader("QuantizeLinear", quantized.output[0])
        restore = None if rounding is None else self._reader("DequantizeLinear", rounding.output[0])
        if rounding is not None and restore is not None:
            mine.output[0] = f"{_OWN}_made"
            after = self._copies((rounding, restore), mine.output[0], node.output[0], constants)
        return [*before, mine, *after], constants

    def _reader(self, kind: str, name: str) -> onnx.NodeProto | None:
        """The node of this type that reads a value first in the quantized model."""
        nodes = self.simulated.nodes.values()
        return next((node for node in nodes if node.op_type == kind and node.input[0] == name), None)

    def _copies(
        self, pair: tuple[onnx.NodeProto, onnx.NodeProto], name: str, made: str, constants: dict[str, NDArray[Any]]
    ) -> list[onnx.NodeProto]:
        """The nodes that round a value and restore it, for a value of this name."""
        import onnx

        copies = [onnx.NodeProto(), onnx.NodeProto()]
        for copy, each in zip(copies, pair, strict=True):
            copy.CopyFrom(each)
            copy.name = f"{made}_{each.op_type}"
            constants.update({key: self.simulated.get(key) for key in each.input[1:] if key})
        copies[0].input[0], copies[1].output[0] = name, made
        copies[0].output[0] = copies[1].input[0] = f"{made}_rounded"
        return copies

    def _session_of(
        self,
        nodes: Sequence[onnx.NodeProto],
        outputs: Iterable[onnx.ValueInfoProto],
        constants: dict[str, NDArray[Any]] | None = None,
    ) -> onnxruntime.InferenceSession:
        """Some nodes as a model that reads the values that are kept."""
        import onnx
        from onnx import helper, numpy_helper

        graph = self.model.graph
        read = {name for node in nodes for name in reads(node)}
        own = constants or {}
        given = {name: value for name, value in self._batches[0].items() if name in read}
        part = onnx.ModelProto()
        part.ir_version = self.model.ir_version
        part.opset_import.extend(self.model.opset_import)
        part.functions.extend(self.model.functions)
        part.graph.name = graph.name
        part.graph.node.extend(nodes)
        part.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name in read)
        part.graph.sparse_initializer.extend(graph.sparse_initializer)
        part.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in own.items())
        known = {value.name: value for value in graph.input}
        for name, value in given.items():
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            part.graph.input.append(
                known[name] if name in known else helper.make_tensor_value_info(name, kind, [None] * value.ndim)
            )
        part.graph.output.extend(outputs)
        return self.session(part)

    @staticmethod
    def _of(values: Values, session: onnxruntime.InferenceSession) -> Values:
        return typed({value.name: values[value.name] for value in session.get_inputs()}, session)


def _made(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    return {name for node in nodes for name in node.output}


def _named(name: str) -> onnx.ValueInfoProto:
    """An output whose type ONNX Runtime finds by itself."""
    import onnx

    return onnx.ValueInfoProto(name=name)
