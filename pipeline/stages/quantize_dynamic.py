"""Dynamic quantization: 8-bit weights, and activations quantized while the model runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.artifact.onnx_rewriting import repair
from pipeline.artifact.proof import floor_of
from pipeline.data.dataset import SplitName
from pipeline.plan import Context
from pipeline.plan.hints import Gain
from pipeline.plan.roles import Role
from pipeline.stages.graphs.gentler import Asked, Way, proof, quantized_gently
from pipeline.stages.graphs.library import is_large, library_call
from pipeline.stages.quantization.choice import Choice, chosen_nodes
from pipeline.stages.quantization.integers import ForIsa, IntegerType, reduces_range
from pipeline.stages.quantization.nodes import MIN_SQNR_DB, PRODUCTS, quantized_share, require_quantized
from pipeline.stages.quantization.preparation import prepare, require_float

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeDynamic:
    """Quantize the weights of an ONNX model; no data is needed.

    The activations' ranges are taken anew from every batch, which costs time. It pays for large matrix products, and
    can make convolutions slower than in float.
    """

    weight_type: IntegerType = "int8"
    per_channel: bool = True
    reduce_range: bool | None = None
    """Whether weights get 7 bits; null asks ``for_isa`` (``reduces_range``)."""
    for_isa: ForIsa = "this"
    """The processor whose kernels the weights have to suit: this machine's, any, or one with this instruction set."""
    op_types: tuple[str, ...] | None = None
    """The operator types to quantize; null: all that ONNX Runtime can quantize. A Gemm counts as the MatMul that it is
    turned into."""
    exclude_nodes: tuple[str, ...] = ()
    """Names or glob patterns of nodes that stay in float."""
    exclude_op_types: tuple[str, ...] = ()
    min_sqnr_db: float | None = MIN_SQNR_DB
    """The least signal over error of each output (``Floor``); null: the output may be as far from its source as it
    likes."""

    role: ClassVar[Role] = "precision"
    gains_by: ClassVar[Gain] = "integer products"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 3
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu", "onnx")
    tolerance: ClassVar[float | None] = None

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """The part of the cache key that depends on this machine."""
        return {"reduce_range": reduces_range(self.reduce_range, self.for_isa, self.weight_type, isa)}

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the quantized model; raises Unchanged where nothing can be quantized, Skipped where the model is
        quantized already."""
        import onnx

        context.work.mkdir(parents=True, exist_ok=True)
        plain = onnx.load(source.onnx_path, load_external_data=False)
        require_float(plain)
        prove = proof(source, context, floor_of(self, context.override))
        prepared: dict[bool, onnx.ModelProto] = {}

        def attempt(way: Way) -> tuple[Mapping[str, int], Mapping[str, int]]:
            path = prepare(source, context, optimized=way.optimized)
            model = prepared[way.optimized] = onnx.load(path, load_external_data=False)
            choice = chosen_nodes(
                plain,
                model,
                exclude_nodes=self.exclude_nodes,
                exclude_op_types=self.exclude_op_types,
                op_types=self._with_gemms(model),
            )
            context.progress(0.3, "quantizing the weights")
            shares = self._quantize(path, model, choice, way, is_large(source), out, context)
            prove(out)
            return shares

        before, left = quantized_gently(
            lambda: Asked(nodes=next(iter(prepared.values()), plain).graph.node, per_channel=self.per_channel),
            attempt,
            out,
            context.note,
        )
        context.note("reduce_range", reduces_range(self.reduce_range, self.for_isa, self.weight_type, context.isa))
        context.note("quantized", quantized_share(before, left))

    def _quantize(
        self,
        path: Path,
        model: onnx.ModelProto,
        choice: Choice,
        way: Way,
        large: bool,
        out: Path,
        context: Context,
    ) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Write the model and return how many nodes there were, and how many stayed in float, by type."""
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        excluded = [*choice.excluded, *way.kept]
        with library_call(context.work):
            quantize_dynamic(
                path,
                out / ONNX_FILE,
                op_types_to_quantize=_without_gemms(choice.op_types),
                per_channel=self.per_channel and way.per_channel,
                reduce_range=reduces_range(self.reduce_range, self.for_isa, self.weight_type, context.isa),
                weight_type=QuantType.QInt8 if self.weight_type == "int8" else QuantType.QUInt8,
                # A Gemm is turned into a MatMul of this name first.
                nodes_to_exclude=[*excluded, *(f"{name}_MatMul" for name in excluded)],
                use_external_data_format=large,
                # Without it, fused operators whose types shape inference does not know can't be quantized.
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
        quantized = onnx.load(out / ONNX_FILE, load_external_data=False)
        if repair(quantized):
            onnx.save(quantized, out / ONNX_FILE)
        before = Counter(node.op_type for node in _weighted(model))
        left = _left(model, quantized)
        require_quantized(before, left)
        return before, left

    def _with_gemms(self, model: onnx.ModelProto) -> Sequence[str] | None:
        """``op_types``, where MatMul stands for a Gemm, too, as it is turned into one."""
        gemm = any(node.op_type == "Gemm" for node in model.graph.node)
        if self.op_types is None or not gemm or "MatMul" not in self.op_types:
            return self.op_types
        others = [kind for kind in self.op_types if kind != "MatMul"]
        return [
            *others,
            *(kind for kind in ("Gemm", "MatMul") if any(node.op_type == kind for node in model.graph.node)),
        ]


def _without_gemms(op_types: Sequence[str] | None) -> list[str] | None:
    """The types as the library knows them: it turns each Gemm into a MatMul first."""
    return None if op_types is None else sorted({"MatMul" if kind == "Gemm" else kind for kind in op_types})


def _weighted(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes that dynamic quantization is about."""
    return [node for node in model.graph.node if node.op_type in (*PRODUCTS, "LSTM", "Attention")]


def _left(model: onnx.ModelProto, quantized: onnx.ModelProto) -> Counter[str]:
    """What stayed in floating point, by type. ONNX Runtime names a quantized node after the one it was, and a Gemm is
    a MatMul before."""
    names = {node.name for node in quantized.graph.node}
    suffixes = ("_quant", "_MatMul_quant")
    return Counter(
        node.op_type for node in _weighted(model) if names.isdisjoint(node.name + suffix for suffix in suffixes)
    )
