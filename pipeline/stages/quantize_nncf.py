"""NNCF's post-training quantization, for OpenVINO and for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from annotated_types import Ge, Le

from pipeline.artifact import OPENVINO_FILE, Artifact, Format
from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.artifact.onnx_rewriting import repair, trim_inputs, write
from pipeline.artifact.openvino_count import products_by_type
from pipeline.artifact.proof import floor_of
from pipeline.bounds import Count
from pipeline.data.dataset import SplitName
from pipeline.errors import Skipped
from pipeline.libraries.telemetry import without_telemetry
from pipeline.plan import Context
from pipeline.plan.hints import Gain
from pipeline.plan.roles import Role
from pipeline.stages.graphs.gentler import Asked, Way, proof, quantized_gently
from pipeline.stages.graphs.library import is_large
from pipeline.stages.quantization.choice import chosen_nodes
from pipeline.stages.quantization.examples import Examples
from pipeline.stages.quantization.float_layers import keep_layers_float
from pipeline.stages.quantization.integers import ForIsa, reduces_range
from pipeline.stages.quantization.nncf_library import (
    Fed,
    kinds_of,
    nncf_call,
    number_anew,
    openvino_names,
    reaching_branches,
)
from pipeline.stages.quantization.nodes import (
    MIN_SQNR_DB,
    has_attention,
    quantized_share,
    require_quantized,
    weighted_nodes,
)
from pipeline.stages.quantization.preparation import require_float
from pipeline.stages.quantization.static_graph import left_in_float

if TYPE_CHECKING:
    import onnx

Written = Literal["openvino", "onnx"]
Preset = Literal["performance", "mixed"]
ModelType = Literal["transformer", "other"]
Nodes = Sequence["onnx.NodeProto"]
Counts = tuple[Mapping[str, int], Mapping[str, int]]
Quantizing = Callable[[Any, list[str]], Any]
"""Quantizes a model of either library's, but for the nodes of these names."""


class _Reads:
    """The splits that the stage reads: weights are quantized without examples."""

    def __get__(self, stage: QuantizeNncf | None, owner: type[QuantizeNncf]) -> frozenset[SplitName]:
        return frozenset() if stage is not None and stage.weights_only else frozenset({"calibration"})


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeNncf:
    """Quantize an ONNX model to 8 bits with NNCF (extra ``openvino``), which places the quantizers as OpenVINO fuses
    them, and corrects the biases.

    Source: NNCF's documentation of ``nncf.quantize`` (docs/usage/post_training_compression/post_training_quantization)
    and ``nncf.compress_weights`` (docs/usage/post_training_compression/weights_compression).
    """

    format: Written = "openvino"
    """``openvino`` writes OpenVINO's own format, which OpenVINO runs; ``onnx`` writes QDQ pairs, which ONNX Runtime
    runs, too."""
    preset: Preset | None = None
    """``performance``: the zero points of weights and activations stay at the middle; ``mixed``: those of weights only;
    null: NNCF's own choice, ``mixed`` for a transformer."""
    model_type: ModelType | None = None
    """``transformer`` leaves more in float and smooths outliers of activations; null: told by whether the model has
    attention."""
    fast_bias_correction: bool = True
    """Whether biases are corrected by means; false: layer by layer, which is slower and more accurate."""
    smooth_quant: Annotated[float, Ge(0), Le(1)] | None = None
    """How much of the outliers a transformer's weights take over (SmoothQuant's alpha, arXiv:2211.10438); null: NNCF's
    0.95."""
    weights_only: bool = False
    """Whether only weights are quantized (``nncf.compress_weights``), which needs no examples; for format openvino."""
    calibration_examples: Count | None = 300
    """How many calibration examples to use, from the first on: NNCF's own choice; null: the whole split."""
    reduce_range: bool | None = None
    """Whether all weights get 7 bits; null asks ``for_isa`` (``reduces_range``). NNCF gives 7 bits to the first
    layer's in any case."""
    for_isa: ForIsa = "this"
    """The processor whose kernels the weights have to suit: this machine's, any, or one with this instruction set."""
    exclude_nodes: tuple[str, ...] = ()
    """Names or glob patterns of the ONNX model's nodes that stay in float."""
    exclude_op_types: tuple[str, ...] = ()
    """Types of the ONNX model's nodes that stay in float."""
    min_sqnr_db: float | None = MIN_SQNR_DB
    """The least signal over error of each output (``Floor``); null: the output may be as far from its source as it
    likes."""

    role: ClassVar[Role] = "precision"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    version: ClassVar[int] = 2
    reads: ClassVar[frozenset[SplitName]] = cast("frozenset[SplitName]", _Reads())  # by the fields, as a property
    libraries: ClassVar[tuple[str, ...]] = ("nncf", "openvino", "onnx", "onnxruntime", "onnxruntime-gpu")
    tolerance: ClassVar[float | None] = None
    requires: ClassVar[tuple[str, ...]] = ("nncf", "openvino")

    def __post_init__(self) -> None:
        if self.weights_only and self.format == "onnx":
            raise ValueError("weights_only needs format=openvino; ONNX has the stage quantize_weights for it")

    @property
    def produces(self) -> Format:
        """The format that is asked for."""
        return self.format

    @property
    def gains_by(self) -> Gain | None:
        """Quantized whole, a model of any kind gains."""
        return "smaller weights" if self.weights_only else None

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """The part of the cache key that depends on this machine."""
        return {"reduce_range": reduces_range(self.reduce_range, self.for_isa, "int8", isa)}

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the quantized model; raises Skipped without NNCF or where the model is quantized already, StageFailed
        without calibration data, Unchanged where nothing can be quantized."""
        import onnx

        if find_spec("nncf") is None:
            raise Skipped("NNCF is not installed: install the extra 'openvino' (pip install nncf openvino)")
        plain = onnx.load(source.onnx_path, load_external_data=False)
        require_float(plain)
        choice = chosen_nodes(plain, plain, exclude_nodes=self.exclude_nodes, exclude_op_types=self.exclude_op_types)
        prove = proof(source, context, floor_of(self, context.override), self.format)
        context.work.mkdir(parents=True, exist_ok=True)

        def attempt(way: Way) -> Counts:
            kept = [node for node in plain.graph.node if node.name in {*choice.excluded, *way.kept}]
            before, left = self._write(source, plain, kept, out, context)
            require_quantized(before, left)
            prove(out)
            return before, left

        asked = Asked(nodes=plain.graph.node, per_channel=False, optimized=False)
        before, left = quantized_gently(lambda: asked, attempt, out, context.note)
        context.note("quantized", quantized_share(before, left))

    def _write(self, source: Artifact, plain: onnx.ModelProto, kept: Nodes, out: Path, context: Context) -> Counts:
        with nncf_call(context.work) as nncf:

            def quantized(model: Any, ignored: list[str]) -> Any:
                scope = nncf.IgnoredScope(names=ignored, validate=False) if ignored else None
                return self._quantized(nncf, model, scope, plain, source, context)

            if self.format == "openvino":
                return self._as_openvino(quantized, source, plain, kept, out)
            return self._as_onnx(quantized, source, kept, out)

    def _as_openvino(
        self, quantized: Quantizing, source: Artifact, plain: onnx.ModelProto, kept: Nodes, out: Path
    ) -> Counts:
        """Write the model, and return how many products of each type there are, and how many are left in float."""
        openvino = without_telemetry("openvino")
        # Reading the file alone leaves out what OpenVINO does to a model before NNCF can correct its biases.
        model = openvino.convert_model(str(source.onnx_path))
        made = quantized(model, openvino_names(model, kept))
        number_anew(made, plain)
        openvino.save_model(made, str(out / OPENVINO_FILE), compress_to_fp16=False)
        return products_by_type(made, weights_only=self.weights_only)

    def _as_onnx(self, quantized: Quantizing, source: Artifact, kept: Nodes, out: Path) -> Counts:
        """Write the model, and return the same."""
        import onnx

        model = onnx.load(source.onnx_path, load_external_data=not is_large(source))
        trim_inputs(model)
        before = weighted_nodes(model)
        made = quantized(model, [node.name for node in kept])
        keep_layers_float(made, source.onnx_path.parent)
        repair(made)
        write(made, out, is_large(source))
        return before, left_in_float(made)

    def _quantized(
        self, nncf: Any, model: Any, ignored: Any, plain: onnx.ModelProto, source: Artifact, context: Context
    ) -> Any:
        if self.weights_only:
            return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM, ignored_scope=ignored)
        examples = Examples.of(context, "static quantization", self.calibration_examples)
        fed = Fed(
            examples=examples,
            size=fixed_batch_of(source, examples.axes) or 1,
            kinds=kinds_of(plain, examples),
            progress=context.progress,
        )
        context.note("calibration_examples", len(examples))
        with reaching_branches(nncf, plain):
            return nncf.quantize(
                model,
                nncf.Dataset(fed),
                subset_size=len(fed),
                fast_bias_correction=self.fast_bias_correction,
                ignored_scope=ignored,
                **self._settings(nncf, plain, source, context),
            )

    def _settings(self, nncf: Any, plain: onnx.ModelProto, source: Artifact, context: Context) -> dict[str, Any]:
        transformer = self.model_type == "transformer" or (self.model_type is None and _is_transformer(plain))
        reduce_range = reduces_range(self.reduce_range, self.for_isa, "int8", context.isa)
        context.note("model_type", "transformer" if transformer else "other")
        context.note("reduce_range", reduce_range)
        advanced: dict[str, Any] = {"overflow_fix": nncf.OverflowFix.ENABLE} if reduce_range else {}
        if self.smooth_quant is not None:
            advanced["smooth_quant_alphas"] = nncf.AdvancedSmoothQuantParameters(matmul=self.smooth_quant)
        if self.format == "onnx" and is_large(source):
            advanced["backend_params"] = {"external_data_dir": str(source.path.resolve())}
        return {
            "model_type": nncf.ModelType.TRANSFORMER if transformer else None,
            "preset": None if self.preset is None else nncf.QuantizationPreset(self.preset),
            "advanced_parameters": nncf.AdvancedQuantizationParameters(**advanced) if advanced else None,
        }


def _is_transformer(model: onnx.ModelProto) -> bool:
    """Whether a model has attention, as products around a softmax or as an operator of its own."""
    return has_attention(model) or any(node.op_type.endswith("Attention") for node in model.graph.node)
