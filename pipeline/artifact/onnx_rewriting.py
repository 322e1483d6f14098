"""The parts that stages share which rewrite an ONNX graph: looking at it, repairing it, writing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact.files import ONNX_FILE
from pipeline.artifact.onnx_graph import inner_graphs, inner_reads, made_in, read_in, reads, sort_nodes
from pipeline.errors import StageFailed, first_line

if TYPE_CHECKING:
    import onnx

CONTRIBUTED = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""


def copied(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model, to be changed."""
    copy = type(model)()
    copy.CopyFrom(model)
    return copy


def operators(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each type a model has."""
    return Counter(node.op_type for node in model.graph.node)


def repair(model: onnx.ModelProto) -> list[str]:
    """Mend in place the faults that rewriting tools leave behind, and say what was mended.

    A name that two nodes give to their results is given to the first only (readers that follow the second, in the order
    of the nodes, read the second); nodes are put in an order in which each follows what it and the graphs within it
    read; ONNX Runtime's own operators are declared. Raises StageFailed where a node reads a value that nothing makes.
    """
    from onnx import helper

    mended = []
    renamed = _rename_second_definitions(model)
    if renamed:
        mended.append(f"{renamed} results had the name of another one")
    _check_complete(model)
    if sort_nodes(model.graph):
        mended.append("nodes stood before what they read")
    domains = {entry.domain for entry in model.opset_import}
    if CONTRIBUTED not in domains and any(node.domain == CONTRIBUTED for node in model.graph.node):
        model.opset_import.append(helper.make_opsetid(CONTRIBUTED, 1))
        mended.append(f"the domain {CONTRIBUTED} was not declared")
    return mended


def keep_inputs(model: onnx.ModelProto, source: onnx.ModelProto) -> None:
    """Put back, in place, the inputs that a tool dropped because nothing reads them: whoever feeds the model feeds all
    that its source has."""
    left = {value.name: value for value in model.graph.input}
    values = [left.pop(value.name, value) for value in source.graph.input]
    values += left.values()
    del model.graph.input[:]
    model.graph.input.extend(values)


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove the constants that nothing reads any more."""
    used = {value.name for value in model.graph.output} | set(read_in(model.graph))
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in used]:
        model.graph.initializer.remove(tensor)


def trim_inputs(model: onnx.ModelProto) -> None:
    """Take off the empty inputs at the end of nodes: nothing is there, and tools take them for values."""
    for node in model.graph.node:
        while node.input and not node.input[-1]:
            del node.input[-1]


def name_nodes(model: onnx.ModelProto) -> int:
    """Give a name of its own to each node that has none or another node's, and return how many there were.

    Tools exclude nodes by name, and would exclude all nameless nodes together.
    """
    taken = {node.name for node in model.graph.node}
    seen: set[str] = set()
    named = 0
    for node in model.graph.node:
        if not node.name or node.name in seen:
            node.name = free_name(node.name or f"{node.op_type}_{named}", taken)
            taken.add(node.name)
            named += 1
        seen.add(node.name)
    return named


def expose_inner_reads(model: onnx.ModelProto) -> int:
    """Give each result that graphs within nodes read a reader in the main graph, and return how many there are.

    The graphs read the result of an Identity instead. Tools that look for readers only in the main graph would rename
    or remove a node that nobody else seems to read: a Relu, for example.
    """
    from onnx import helper

    graph = model.graph
    made = {name for node in graph.node for name in node.output if name}
    taken = made | made_in(graph) | set(read_in(graph))
    found = sorted({name for node in graph.node for name in inner_reads(node) if name in made})
    fresh = {name: free_name(f"{name}_within", taken) for name in found}
    for node in graph.node:
        for inner in inner_graphs(node):
            rename_reads(inner, fresh)
    graph.node.extend(helper.make_node("Identity", [old], [new], name=new) for old, new in fresh.items())
    sort_nodes(graph)
    return len(found)


def own_names_within(model: onnx.ModelProto) -> None:
    """Give the constants of graphs within nodes names that no other constant has: both branches of an If may hold a
    ``weight``, and tools that look through all graphs would take them for the same."""
    taken = made_in(model.graph)
    for node in model.graph.node:
        for inner in inner_graphs(node):
            _rename_constants(inner, taken)


def _rename_constants(graph: onnx.GraphProto, taken: set[str]) -> None:
    fresh = {tensor.name: free_name(tensor.name, taken) for tensor in graph.initializer}
    taken |= set(fresh.values())
    for tensor in graph.initializer:
        tensor.name = fresh[tensor.name]
    for value in graph.input:
        value.name = fresh.get(value.name, value.name)
    rename_reads(graph, {old: new for old, new in fresh.items() if old != new})
    for node in graph.node:
        for inner in inner_graphs(node):
            _rename_constants(inner, taken)


def rename_reads(graph: onnx.GraphProto, fresh: Mapping[str, str]) -> None:
    """Let a graph within a node, and the graphs within it, read values from outside by their new names, in place."""
    own = made_in(graph)
    outside = {old: new for old, new in fresh.items() if old not in own}
    for value in graph.output:
        value.name = outside.get(value.name, value.name)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = outside.get(name, name)
        for inner in inner_graphs(node):
            rename_reads(inner, outside)


def fresh_name(model: onnx.ModelProto, wanted: str) -> str:
    """``wanted``, with a number where a value of the model has that name."""
    return free_name(wanted, made_in(model.graph) | set(read_in(model.graph)))


def make_outputs(model: onnx.ModelProto) -> None:
    """Let a node make each output: one that is a constant or an input has no maker, and tools take it for a result."""
    from onnx import helper

    graph = model.graph
    for value in graph.output:
        constant = next((tensor for tensor in graph.initializer if tensor.name == value.name), None)
        if constant is None:
            continue
        constant.name = fresh_name(model, f"{value.name}_constant")
        for node in graph.node:
            for position, name in enumerate(node.input):
                node.input[position] = constant.name if name == value.name else name
            for inner in inner_graphs(node):
                rename_reads(inner, {value.name: constant.name})
        graph.node.insert(0, helper.make_node("Identity", [constant.name], [value.name], name=constant.name))


def free_name(wanted: str, taken: Collection[str]) -> str:
    """``wanted``, with a number where that name is taken."""
    numbered = (wanted if not number else f"{wanted}_{number}" for number in count())
    return next(name for name in numbered if name not in taken)


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
        for inner in inner_graphs(node):
            rename_reads(inner, current)
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
    known = made_in(model.graph)
    for node in model.graph.node:
        for name in reads(node):
            if name not in known:
                raise StageFailed(f"{node.op_type} '{node.name}' reads '{name}', which nothing makes")
