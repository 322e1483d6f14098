"""Compares the shapes that a file declares with the shapes that follow from its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.artifact.onnx_graph import shape_of
from pipeline.artifact.onnx_sizes import axis_names

if TYPE_CHECKING:
    import onnx


def drop_wrong_shapes(model: onnx.ModelProto) -> str | None:
    """Take out declared shapes and types, in place, that contradict ONNX's inference; outputs get the inferred ones."""
    inferred = inferred_values(model)
    free = set(axis_names(model))
    graph = model.graph
    wrong = [value for value in graph.value_info if _contradicts(value, inferred.get(value.name), free)]
    for value in wrong:
        graph.value_info.remove(value)
    outputs = [value for value in graph.output if _contradicts(value, inferred.get(value.name), free)]
    for value in outputs:
        value.type.CopyFrom(inferred[value.name].type)
    names = [value.name for value in (*outputs, *wrong)]
    return f"the file declares wrong shapes of {_listed(names)}" if names else None


def inferred_values(model: onnx.ModelProto) -> Mapping[str, onnx.ValueInfoProto]:
    """The types that ONNX infers of each value from only the inputs and weights; empty where it can't."""
    from onnx import shape_inference

    bare = type(model)()
    bare.CopyFrom(model)
    drop_shapes(bare)
    made = {name for node in bare.graph.node for name in node.output}
    for value in [value for value in bare.graph.output if value.name not in made]:  # they would lose their shapes
        bare.graph.output.remove(value)
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("elem_type")
    try:
        found = shape_inference.infer_shapes(bare, data_prop=True).graph
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        return {}
    return {value.name: value for value in (*found.value_info, *found.output)}


def drop_shapes(model: onnx.ModelProto) -> None:
    """Take out, in place, every declared shape but the inputs'."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _contradicts(declared: onnx.ValueInfoProto, inferred: onnx.ValueInfoProto | None, free: set[str]) -> bool:
    """Whether a declaration and what was inferred can't both be right.

    A size that is a free one of the inputs, whose names are in ``free``, is not always the declared one.
    """
    if inferred is None or not inferred.type.HasField("tensor_type"):
        return False
    kinds = [value.type.tensor_type.elem_type for value in (declared, inferred)]
    if 0 not in kinds and kinds[0] != kinds[1]:
        return True
    sizes, found = shape_of(declared), shape_of(inferred)
    if sizes is None or found is None:
        return False
    if len(sizes) != len(found):
        return True
    symbols = [size.dim_param for size in inferred.type.tensor_type.shape.dim]
    return any(
        size is not None and (other is not None or symbol in free) and size != other
        for size, other, symbol in zip(sizes, found, symbols, strict=True)
    )


def _listed(names: list[str], most: int = 5) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
