"""The integer types of weights and activations."""

from __future__ import annotations

from typing import Literal

from pipeline.machine.instruction_sets import lacks_dot_products

IntegerType = Literal["int8", "uint8"]
WideIntegerType = Literal["int8", "uint8", "int16", "uint16"]


ForIsa = Literal["this", "any", "avx2", "avx_vnni", "avx512_vnni", "amx_int8", "asimd"]
"""The processor that a model is quantized for: this one, any, or one with this instruction set."""


def reduces_range(asked: bool | None, for_isa: ForIsa, weight_type: WideIntegerType, isa: frozenset[str]) -> bool:
    """Whether weights are quantized to 7 bits: as was asked, else as the processor needs; ``isa`` has the instruction
    sets of this one. Seven bits are right on any.

    On x86 processors without VNNI or AMX, ONNX Runtime's kernels for int8 weights add pairs of products in 16 bits,
    which saturates with 8-bit weights.
    """
    if asked is not None:
        return asked
    meant = {"this": isa, "any": frozenset({"avx2"})}.get(for_isa, frozenset({for_isa}))
    return weight_type == "int8" and lacks_dot_products(meant)


def integer_limits(weight_type: WideIntegerType, *, reduce_range: bool, symmetric: bool) -> tuple[int, int]:
    """The least and the largest integer that ONNX Runtime's quantizer gives to weights."""
    from onnx import TensorProto
    from onnxruntime.quantization.quant_utils import get_qmin_qmax_for_qType

    kind = TensorProto.DataType.Value(weight_type.upper())
    low, high = get_qmin_qmax_for_qType(kind, reduce_range, symmetric or weight_type.startswith("int"))
    return int(low), int(high)
