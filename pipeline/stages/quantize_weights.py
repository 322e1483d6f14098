"""Weight-only quantization: matrix products read 4- or 8-bit weights, activations stay in floating point."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.artifact import Artifact, Format
from pipeline.artifact.onnx_rewriting import drop_unused, name_nodes, operators, repair, trim_inputs, write
from pipeline.artifact.proof import floor_of
from pipeline.data.dataset import SplitName
from pipeline.errors import Unchanged
from pipeline.plan import Context
from pipeline.plan.hints import Gain
from pipeline.plan.roles import Role
from pipeline.stages.graphs.gentler import Asked, Way, proof, quantized_gently
from pipeline.stages.graphs.library import is_large
from pipeline.stages.quantization.choice import chosen_nodes
from pipeline.stages.quantization.nodes import MIN_SQNR_DB, quantized_share, require_quantized, weighted_nodes
from pipeline.stages.quantization.preparation import require_float
from pipeline.stages.quantization.products import plain_gemms

if TYPE_CHECKING:
    import onnx

Method = Literal["rtn", "hqq"]
SMALLEST_BLOCK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeWeights:
    """Turn matrix products with constant weights into ONNX Runtime's MatMulNBits; no data is needed.

    A Gemm counts as a matrix product. Convolutions are left alone.
    """

    bits: Literal[4, 8] = 4
    block_size: int = 32
    """How many weights along the inner axis share a scale."""
    method: Method = "rtn"
    """``rtn`` rounds to the nearest level; ``hqq`` moves the zero points so that large errors count less
    (half-quadratic quantization, Badri & Shaji 2023)."""
    symmetric: bool = True
    """Whether the zero point stays at the middle (only with rtn)."""
    accuracy_level: Literal[1, 2, 3, 4] | None = 4
    """The least precision that the products may be computed in: 1 fp32, 2 fp16, 3 bf16, 4 int8 (the fastest on a CPU;
    activations are then quantized block by block). null: ONNX Runtime's choice, fp32. Only with rtn; hqq has fp32."""
    exclude_nodes: tuple[str, ...] = ()
    min_sqnr_db: float | None = MIN_SQNR_DB
    """The least signal over error of each output (``Floor``); null: the output may be as far from its source as it
    likes."""

    role: ClassVar[Role] = "precision"
    gains_by: ClassVar[Gain] = "smaller weights"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 2
    reads: ClassVar[frozenset[SplitName]] = frozenset()
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu", "onnx")
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if self.block_size < SMALLEST_BLOCK or self.block_size & (self.block_size - 1):
            raise ValueError(f"block_size must be a power of two from {SMALLEST_BLOCK} on (got {self.block_size})")
        if self.method == "hqq" and self.bits == 8:
            raise ValueError("method=hqq has zero points in floating point, for which there are 4-bit kernels only")

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the quantized model; raises Unchanged where nothing can be quantized, Skipped where the model is
        quantized already."""
        import onnx

        plain = onnx.load(source.onnx_path, load_external_data=False)
        require_float(plain)
        chosen_nodes(plain, plain, exclude_nodes=self.exclude_nodes)
        _require_float_weights(plain)
        prove = proof(source, context, floor_of(self, context.override))

        def attempt(way: Way) -> Mapping[str, str]:
            shares = self._quantize(source, way, out, context)
            prove(out)
            return shares

        asked = Asked(nodes=plain.graph.node, per_channel=False, optimized=False)
        context.note("quantized", quantized_gently(lambda: asked, attempt, out, context.note))

    def _quantize(self, source: Artifact, way: Way, out: Path, context: Context) -> Mapping[str, str]:
        """Write the model and return how many products are quantized."""
        import onnx
        from onnxruntime.quantization.onnx_model import ONNXModel

        model = onnx.load(source.onnx_path)
        before = weighted_nodes(model)
        trim_inputs(model)
        name_nodes(model)
        plain_gemms(model)
        excluded = [*chosen_nodes(model, model, exclude_nodes=self.exclude_nodes).excluded, *way.kept]
        ONNXModel(model).replace_gemm_with_matmul()
        context.progress(0.2, "quantizing the weights")
        library = _library()
        quantizer = library.MatMulNBitsQuantizer(
            model,
            # What was a Gemm is a MatMul of this name now.
            nodes_to_exclude=[*excluded, *(f"{name}_MatMul" for name in excluded)],
            algo_config=self._config(library),
        )
        with warnings.catch_warnings():
            # Of tensors that share memory with the model, which nothing writes to.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            quantizer.process()
        quantized: onnx.ModelProto = quantizer.model.model
        repair(quantized)
        drop_unused(quantized)
        products = {"MatMul": before["MatMul"] + before["Gemm"]}
        left = {"MatMul": products["MatMul"] - operators(quantized)["MatMulNBits"]}
        require_quantized(products, left)
        write(quantized, out, is_large(source))
        return quantized_share(products, left)

    def _config(self, library: Any) -> Any:
        if self.method == "hqq":
            return library.HQQWeightOnlyQuantConfig(block_size=self.block_size, bits=self.bits)
        return library.DefaultWeightOnlyQuantConfig(
            block_size=self.block_size,
            is_symmetric=self.symmetric,
            accuracy_level=self.accuracy_level,
            bits=self.bits,
        )


def _require_float_weights(model: onnx.ModelProto) -> None:
    """Raise Unchanged where no product has constant weights in float32 or float16: there are kernels for no others."""
    import onnx

    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    read = {node.input[1] for node in model.graph.node if node.op_type in ("MatMul", "Gemm")}
    if not {kinds.get(name) for name in read} & {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}:
        raise Unchanged("the model has no MatMul or Gemm with constant weights in float32 or float16")


def _library() -> Any:
    """ONNX Runtime's module, without the log output that importing it sets up for the whole program."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    from onnxruntime.quantization import matmul_nbits_quantizer as library

    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger(library.__name__).setLevel(logging.WARNING)
    return library
