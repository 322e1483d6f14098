"""Makes an ONNX file compute in float32 what it computes in bfloat16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.artifact.onnx_graph import all_graphs, all_nodes, all_tensors

if TYPE_CHECKING:
    import onnx

_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "stash_type")


def widen_bfloat16(model: onnx.ModelProto) -> str | None:
    """Turn bfloat16 into float32 in place: weights (exactly), casts, declared types; None where there is none.

    ONNX Runtime's CPU provider stores bfloat16 and casts it, but has no products in it.
    """
    from onnx import TensorProto, numpy_helper

    changed = 0
    for tensor in all_tensors(model):
        if tensor.data_type == TensorProto.BFLOAT16:
            wide = numpy_helper.from_array(numpy_helper.to_array(tensor).astype("float32"), tensor.name)
            tensor.CopyFrom(wide)
            changed += 1
    for node in all_nodes(model.graph):
        for attribute in node.attribute:
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i == TensorProto.BFLOAT16:
                attribute.i = TensorProto.FLOAT
                changed += 1
    for graph in all_graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == TensorProto.BFLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
                changed += 1
    return "bfloat16 is computed as float32, with the same weights" if changed else None
