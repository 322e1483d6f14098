"""Makes the inputs and outputs of an ONNX model arrays that NumPy has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact.onnx_graph import all_graphs, all_nodes, fed_inputs
from pipeline.errors import UserError

if TYPE_CHECKING:
    import onnx

_NUMPY = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)
_ZIPMAP = "ZipMap"


def fed_type(value: onnx.ValueInfoProto, path: Path) -> str:
    """NumPy's name of the type that an input is fed; raises UserError where the input is no tensor, or of no such type.

    Strings are ``str``. NumPy has no bfloat16: such an input is fed float32 (``adapt``).
    """
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    if not value.type.HasField("tensor_type"):
        kind = (value.type.WhichOneof("value") or "nothing").removesuffix("_type")
        raise UserError(f"model.path={path}: input '{value.name}' is a {kind}, and only tensors can be fed")
    kind_number = value.type.tensor_type.elem_type
    if kind_number == TensorProto.STRING:
        return "str"
    if kind_number == TensorProto.BFLOAT16:
        return "float32"
    name = "nothing" if kind_number == TensorProto.UNDEFINED else tensor_dtype_to_np_dtype(kind_number).name
    if name not in _NUMPY:
        raise UserError(f"model.path={path}: input '{value.name}' is of type {name}, and NumPy has no such type")
    return name


def adapt(model: onnx.ModelProto) -> list[str]:
    """Change in place the types that NumPy arrays can't hold, and say what was changed; the model computes the same.

    A ZipMap at the end (probabilities as a sequence of maps) is taken off, so that its tensor is the output. Other
    outputs that are no tensors are left out. Inputs and outputs in bfloat16 become float32, with a Cast. Raises
    UserError where no output is left.
    """
    notes = [*_without_zipmaps(model), *_without_other_kinds(model), *_without_bfloat16(model)]
    if not model.graph.output:
        raise UserError("none of its outputs is a tensor, and outputs are compared as arrays")
    return notes


def _without_zipmaps(model: onnx.ModelProto) -> list[str]:
    from onnx import TensorProto, helper

    graph = model.graph
    outputs = {value.name: index for index, value in enumerate(graph.output)}
    names = []
    for node in graph.node:
        if node.op_type != _ZIPMAP or node.output[0] not in outputs:
            continue
        name = node.output[0]
        names.append(name)
        graph.output[outputs[name]].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        node.CopyFrom(helper.make_node("Identity", list(node.input), [name], name=node.name))
    return [f"output '{name}' is a tensor now: ZipMap made maps of it" for name in names]


def _without_other_kinds(model: onnx.ModelProto) -> list[str]:
    dropped = [value for value in model.graph.output if not value.type.HasField("tensor_type")]
    for value in dropped:
        model.graph.output.remove(value)
    return [
        f"output '{value.name}' is left out: it is a {(value.type.WhichOneof('value') or 'nothing')[:-5]}, no tensor"
        for value in dropped
    ]


def _without_bfloat16(model: onnx.ModelProto) -> list[str]:
    from onnx import TensorProto, helper

    graph = model.graph
    notes = []
    for value in fed_inputs(graph):
        if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            inside = f"{value.name}_bfloat16"
            _rename_reads(graph, value.name, inside)
            graph.node.insert(0, helper.make_node("Cast", [value.name], [inside], to=TensorProto.BFLOAT16))
            notes.append(f"input '{value.name}' takes float32: NumPy has no bfloat16")
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            inside = f"{value.name}_bfloat16"
            _rename_results(graph, value.name, inside)
            graph.node.append(helper.make_node("Cast", [inside], [value.name], to=TensorProto.FLOAT))
            notes.append(f"output '{value.name}' gives float32: NumPy has no bfloat16")
    return notes


def _rename_reads(graph: onnx.GraphProto, before: str, after: str) -> None:
    for node in all_nodes(graph):
        for position, name in enumerate(node.input):
            if name == before:
                node.input[position] = after
    for inner in list(all_graphs(graph))[1:]:
        for value in inner.output:
            value.name = after if value.name == before else value.name


def _rename_results(graph: onnx.GraphProto, before: str, after: str) -> None:
    """Rename a value of the main graph wherever it is made or read; the graph's outputs keep their names."""
    for node in graph.node:
        for position, name in enumerate(node.output):
            if name == before:
                node.output[position] = after
    for tensor in graph.initializer:
        tensor.name = after if tensor.name == before else tensor.name
    _rename_reads(graph, before, after)
