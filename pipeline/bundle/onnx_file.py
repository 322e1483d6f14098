"""What an ONNX file says about itself, read without running it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far golden outputs may differ on another machine, and the rule in words."""

    relative: float
    """Of an output's largest magnitude."""
    agreement: float
    """Smallest share of equal classes."""
    rule: str


def is_inside(relative: str) -> bool:
    """Whether a relative path, in the spelling of any system, stays inside its folder."""
    posix, windows = PurePosixPath(relative), PureWindowsPath(relative)
    parts = {*posix.parts, *windows.parts}
    return bool(parts) and ".." not in parts and not posix.is_absolute() and not windows.anchor


def external_files(path: Path) -> list[str]:
    """The files that a model's tensors are kept in, as the ONNX file spells them (relative to its folder).

    Raises google.protobuf.message.DecodeError where the file is not ONNX.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    locations = {
        entry.value
        for tensor in _tensors(model)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return sorted(locations)


def tolerance(path: Path) -> Tolerance:
    """What to allow for the arithmetic that the model uses: int8, float16 or float32."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    operators = {node.op_type for node in _nodes(model)}
    types = {tensor.data_type for tensor in _tensors(model)}
    classes = "and at least 90 % of the predicted classes must agree"
    if any("Quantize" in name or "Integer" in name or "NBits" in name or "QLinear" in name for name in operators):
        return Tolerance(
            relative=0.1,
            agreement=0.9,
            rule="int8: processors with other instruction sets round, and may saturate, differently; "
            f"an output may differ by 10 % of its largest magnitude {classes}",
        )
    if types & {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}:
        return Tolerance(
            relative=0.02,
            agreement=0.9,
            rule=f"float16: an output may differ by 2 % of its largest magnitude {classes}",
        )
    return Tolerance(
        relative=1e-3,
        agreement=0.9,
        rule="float32: processors add in another order; an output may differ by 0.1 % of its largest magnitude "
        f"{classes}",
    )


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for graph in _graphs(model):
        yield from graph.node
    for function in model.functions:
        yield from function.node


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The main graph and every graph in an attribute: the branches of If, the bodies of Loop and Scan."""
    waiting = [model.graph, *(graph for function in model.functions for graph in _attribute_graphs(function.node))]
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting.extend(_attribute_graphs(graph.node))


def _attribute_graphs(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from attribute.graphs
            if attribute.HasField("g"):
                yield attribute.g


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model: initializers, sparse ones too, and those in attributes."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
