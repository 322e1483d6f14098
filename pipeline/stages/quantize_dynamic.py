"""Dynamic quantization: 8-bit weights, and activations quantized while the model runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed, first_line
from pipeline.patterns import check_matches
from pipeline.plan import Context
from pipeline.stages.quantization import (
    IntegerType,
    check_integer_type,
    excluded_nodes,
    is_large,
    prepare,
    quantized_share,
    reduces_range,
    require_quantized,
    temporary_files_in,
    weighted_nodes,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeDynamic:
    """Quantize the weights of an ONNX model; needs no data.

    The activations' ranges are taken anew from every batch, which costs time: it pays for large matrix products, and
    can make convolutions slower than in float. ``reduce_range`` null asks the processor (see ``reduces_range``).
    ``op_types`` null: all that ONNX Runtime can quantize; a Gemm counts as a MatMul, which it is turned into.
    ``exclude_nodes`` are names or glob patterns.
    """

    weight_type: IntegerType = "int8"
    per_channel: bool = True
    reduce_range: bool | None = None
    op_types: tuple[str, ...] | None = None
    exclude_nodes: tuple[str, ...] = ()
    exclude_op_types: tuple[str, ...] = ()

    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 1
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu", "onnx")
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        check_integer_type("weight_type", self.weight_type)

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """What depends on this machine."""
        return {"reduce_range": reduces_range(self.reduce_range, self.weight_type, isa)}

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the quantized model; raises StageFailed where nothing can be quantized."""
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        context.work.mkdir(parents=True, exist_ok=True)
        prepared = prepare(source, context.work)
        model = onnx.load(prepared, load_external_data=False)
        op_types = self._op_types({node.op_type for node in model.graph.node})
        excluded = excluded_nodes(model, self.exclude_nodes, self.exclude_op_types)
        reduce_range = reduces_range(self.reduce_range, self.weight_type, context.isa)
        context.progress(0.3, "quantizing the weights")
        try:
            with temporary_files_in(context.work):
                quantize_dynamic(
                    prepared,
                    out / ONNX_FILE,
                    op_types_to_quantize=op_types,
                    per_channel=self.per_channel,
                    reduce_range=reduce_range,
                    weight_type=QuantType.QInt8 if self.weight_type == "int8" else QuantType.QUInt8,
                    # A Gemm is turned into a MatMul of this name first.
                    nodes_to_exclude=[*excluded, *(f"{name}_MatMul" for name in excluded)],
                    use_external_data_format=is_large(source),
                    # Without it, fused operators whose types shape inference does not know can't be quantized.
                    extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
                )
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise StageFailed(f"ONNX Runtime could not quantize the model: {first_line(error)}") from error
        before = weighted_nodes(model)
        left = _left(onnx.load(out / ONNX_FILE, load_external_data=False), before)
        require_quantized(before, left)
        context.note("reduce_range", reduce_range)
        context.note("quantized", quantized_share(before, left))

    def _op_types(self, existing: set[str]) -> list[str] | None:
        if self.op_types is None:
            return None
        if "Gemm" in existing:
            existing = existing | {"MatMul"}
        check_matches("op_types", "operator type", self.op_types, sorted(existing))
        return sorted({"MatMul" if name == "Gemm" else name for name in self.op_types})


def _left(quantized: Any, before: Counter[str]) -> Counter[str]:
    """What stayed in floating point. ONNX Runtime first turns every Gemm into a MatMul and an Add."""
    left = weighted_nodes(quantized)
    products = left["MatMul"]
    if before["Gemm"] and products > 0:
        integer = sum(node.op_type == "MatMulInteger" for node in quantized.graph.node)
        left["MatMul"] = max(0, before["MatMul"] - integer)
        left["Gemm"] += products - left["MatMul"]
    return left
