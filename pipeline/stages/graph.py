"""What stages that rewrite an ONNX graph have in common: looking at it, repairing it, writing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import ONNX_FILE
from pipeline.errors import StageFailed, first_line

if TYPE_CHECKING:
    import onnx

CONTRIBUTED = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that a model uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def operators(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each type a model has."""
    return Counter(node.op_type for node in model.graph.node)


def repair(model: onnx.ModelProto) -> list[str]:
    """Mend in place what rewriting tools leave behind, and say what was mended.

    A name that two nodes give to their results is given to the first only (readers that follow the second, in the
    order of the nodes, read the second); nodes are put in an order in which each follows what it reads; ONNX Runtime's
    own operators are declared. Raises StageFailed where a node reads what nothing makes.
    """
    from onnx import helper
    from onnxruntime.quantization.onnx_model import ONNXModel

    mended = []
    renamed = _rename_second_definitions(model)
    if renamed:
        mended.append(f"{renamed} results had the name of another one")
    _check_complete(model)
    before = [node.output[0] for node in model.graph.node]
    try:
        ONNXModel(model).topological_sort()
    except AssertionError as error:
        raise StageFailed("the graph has a cycle") from error
    if [node.output[0] for node in model.graph.node] != before:
        mended.append("nodes stood before what they read")
    domains = {entry.domain for entry in model.opset_import}
    if CONTRIBUTED not in domains and any(node.domain == CONTRIBUTED for node in model.graph.node):
        model.opset_import.append(helper.make_opsetid(CONTRIBUTED, 1))
        mended.append(f"the domain {CONTRIBUTED} was not declared")
    return mended


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove the constants that nothing reads any more."""
    used = {value.name for value in model.graph.output} | set(_read(model.graph))
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)


def _read(graph: onnx.GraphProto) -> Iterator[str]:
    """What a graph's nodes read, those of the graphs within them included."""
    for node in graph.node:
        yield from node.input
        for entry in node.attribute:
            for inner in (entry.g, *entry.graphs):
                yield from _read(inner)


def write(model: onnx.ModelProto, out: Path, large: bool) -> None:
    """Save as ``model.onnx`` in ``out``; the weights of a large model lie beside it."""
    import onnx

    try:
        onnx.save(model, out / ONNX_FILE, save_as_external_data=large, location=f"{ONNX_FILE}.data")
    except ValueError as error:
        raise StageFailed(f"the model could not be written: {first_line(error)}") from error


def _rename_second_definitions(model: onnx.ModelProto) -> int:
    graph = model.graph
    # An output of the model keeps its name where it is made last.
    outputs = {value.name for value in graph.output}
    makers = Counter(name for node in graph.node for name in node.output if name)
    seen = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    current: dict[str, str] = {}
    renamed = 0
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = current.get(name, name)
        for position, name in enumerate(node.output):
            if not name:
                continue
            makers[name] -= 1
            if name in outputs and makers[name]:
                fresh = f"{name}_internal_{makers[name]}"
            elif name in seen and name not in outputs:
                fresh = f"{name}_again_{makers[name]}"
            else:
                seen.add(name)
                current.pop(name, None)
                continue
            node.output[position] = fresh
            current[name] = fresh
            renamed += 1
    return renamed


def _check_complete(model: onnx.ModelProto) -> None:
    graph = model.graph
    known = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    known |= {name for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            if name and name not in known:
                raise StageFailed(f"{node.op_type} '{node.name}' reads '{name}', which nothing makes")
