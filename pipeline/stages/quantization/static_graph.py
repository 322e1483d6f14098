"""Examines a statically quantized graph, and tells ONNX Runtime's quantizer what it needs to know."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pipeline.artifact.onnx_graph import readers_of
from pipeline.artifact.onnx_rewriting import drop_unused
from pipeline.artifact.work import restored_values
from pipeline.stages.quantization.nodes import PRODUCTS, quantized_share, weighted_nodes

if TYPE_CHECKING:
    import onnx


def keep_results_float(model: onnx.ModelProto, source: onnx.ModelProto) -> bool:
    """Take out the Q/DQ pair between a Gemm or MatMul and what reads its result in float; returns whether there was
    one. ``source`` is the model that was quantized.

    ONNX Runtime has integer kernels for both with a float result, so it costs no time; and every pair costs accuracy:
    among 256 levels two classes often get the same logit. A pair stays that does the work of a Relu or Clip, too: the
    quantizer has given the product the name of what that made.
    """
    nodes = model.graph.node
    results = {node.name: node.output[0] for node in source.graph.node}
    makers = {name: node for node in nodes for name in node.output}
    readers = readers_of(model.graph)
    outputs = {value.name for value in model.graph.output}
    floats = {tensor.name for tensor in model.graph.initializer if tensor.data_type in _float_types()}

    def in_float(node: onnx.NodeProto) -> bool:
        """Whether a node can't be part of an integer operator."""
        if node.op_type in (*PRODUCTS, "QuantizeLinear", "DequantizeLinear"):
            return False
        behind = [reader for name in node.output for reader in readers.get(name, [])]
        ends = any(name in outputs for name in node.output)
        return ends or not floats.isdisjoint(node.input) or any(each.op_type != "QuantizeLinear" for each in behind)

    removed = False
    for dequantize in [node for node in nodes if node.op_type == "DequantizeLinear"]:
        quantize = makers.get(dequantize.input[0])
        if quantize is None or quantize.op_type != "QuantizeLinear" or len(readers[quantize.output[0]]) != 1:
            continue
        product = makers.get(quantize.input[0])
        if product is None or product.op_type not in ("Gemm", "MatMul") or len(readers[product.output[0]]) != 1:
            continue
        if results.get(product.name) not in (product.output[0], dequantize.output[0]):
            continue
        if product.output[0] in outputs or not all(map(in_float, readers.get(dequantize.output[0], []))):
            continue
        product.output[0] = dequantize.output[0]
        nodes.remove(dequantize)
        nodes.remove(quantize)
        removed = True
    if removed:
        drop_unused(model)
    return removed


def _float_types() -> tuple[int, ...]:
    from onnx import TensorProto

    return TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16


def share_of(model: onnx.ModelProto, quantized: onnx.ModelProto) -> dict[str, str]:
    """How many of a model's products of each type are quantized: ``{"Conv": "8 of 8"}``."""
    return quantized_share(weighted_nodes(model), left_in_float(quantized))


def grouped_transposed(model: onnx.ModelProto) -> dict[str, str]:
    """The weights of transposed convolutions in groups, by node: their axis 1 holds the channels of one group only, and
    ONNX Runtime's quantizer gives scales to that many."""
    return {
        node.name: node.input[1]
        for node in model.graph.node
        if node.op_type == "ConvTranspose" and any(entry.name == "group" and entry.i > 1 for entry in node.attribute)
    }


def overrides(model: onnx.ModelProto, reduce_range: bool) -> dict[str, list[dict[str, Any]]]:
    """The library's option that gives the weights of transposed convolutions in groups one scale per tensor."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {name: [{"reduce_range": reduce_range}] for name in grouped_transposed(model).values() if name in constants}


def left_in_float(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each type with weights still read floating-point values."""
    dequantized, weighted = restored_values(model), weighted_nodes(model)
    return Counter(
        node.op_type for node in model.graph.node if node.op_type in weighted and not set(node.input[:2]) <= dequantized
    )
