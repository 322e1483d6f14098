"""The machines that a variant suits, as its graph tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.artifact.onnx_graph import all_graphs
from pipeline.bundle.slimline_infer import choice

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

Kind = Literal["cuda", "vnni", "avx2", "any"]
MACHINES: Mapping[Kind, str] = {
    "cuda": "an NVIDIA GPU, by CUDA",
    "vnni": "processors that add int8 products in 32 bits: x86 with VNNI or AMX, arm64",
    "avx2": "x86 with AVX2 and no VNNI: weights of int8 within 7 bits, or of uint8",
    "any": "every processor: no int8 products",
}
EXACT = {choice.EXACT: "1"}
"""ONNX Runtime then turns int8 weights beyond 7 bits to uint8 on x86, whose products are added in 32 bits; on other
processors it does nothing."""
_SEVEN_BITS = 64
"""Two products of uint8 with weights up to this magnitude add up within 16 bits: 2 · 255 · 64 = 32640."""
_INTEGER = frozenset({"QGemm", "QAttention", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "MatMulIntegerToFloat"})
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "MatMul", "Gemm"})


def kind_of(path: Path, session: Mapping[str, Any]) -> Kind:
    """The machines that an ONNX file suits in a session of ONNX Runtime.

    Reads weights in other files. A weight that is quantized in the graph itself counts as one of 8 bits, as its range
    is not known.
    """
    import onnx
    from onnx.numpy_helper import to_array

    if session["providers"][0]["name"] != "CPUExecutionProvider":
        return "cuda"
    model = onnx.load(path, load_external_data=False)
    weights = list(_integer_weights(model))
    if not weights:
        return "any"
    arrays = (to_array(tensor, str(path.parent)) if tensor is not None else None for tensor in weights)
    return "vnni" if any(_beyond_seven_bits(array) for array in arrays) else "avx2"


def _beyond_seven_bits(weights: NDArray[np.generic] | None) -> bool:
    if weights is None:
        return True
    return (
        str(weights.dtype) == "int8"
        and bool(weights.size)
        and (weights.min() < -_SEVEN_BITS or weights.max() > _SEVEN_BITS)
    )


def _integer_weights(model: onnx.ModelProto) -> Iterator[onnx.TensorProto | None]:
    """The constants of 8 bits that products in whole numbers read; None for one that is quantized as the model runs."""
    for graph in all_graphs(model.graph):
        makers = {name: node for node in graph.node for name in node.output}
        constants = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) > 1}
        for node in graph.node:
            for name in _factors(node, makers):
                if name in constants and _has_8_bits(constants[name]):
                    yield constants[name]
                elif name in makers and makers[name].op_type == "QuantizeLinear" and makers[name].input[0] in constants:
                    yield None


def _factors(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> list[str]:
    """The values that an operator multiplies in whole numbers; none where it multiplies numbers with a fraction."""
    if "Integer" in node.op_type or node.op_type.startswith("QLinear") or node.op_type in _INTEGER:
        return list(node.input)
    if node.op_type not in _PRODUCTS:
        return []
    read = [makers.get(name) for name in node.input[:2]]
    if all(maker is not None and maker.op_type == "DequantizeLinear" for maker in read):
        return [maker.input[0] for maker in read if maker is not None]
    return []


def _has_8_bits(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type in (tensor.INT8, tensor.UINT8)
