"""Static quantization: 8-bit weights and activations, with the activations' ranges from calibration data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Gt, Le

from pipeline.artifact import ONNX_FILE, Artifact, Format
from pipeline.artifact.onnx_rewriting import repair
from pipeline.artifact.proof import Floor, floor_of
from pipeline.bounds import Count, Hint
from pipeline.data.dataset import SplitName
from pipeline.errors import StageFailed
from pipeline.plan import Context
from pipeline.plan.roles import Role
from pipeline.stages.graphs.gentler import Asked, Way, proof, quantized_gently
from pipeline.stages.graphs.library import is_large, library_call
from pipeline.stages.quantization.calibrated import Calibrated
from pipeline.stages.quantization.calibration import METHODS, Calibration, calibrate
from pipeline.stages.quantization.choice import chosen_nodes
from pipeline.stages.quantization.compensated import QuantizedFormat, Settings, compensated
from pipeline.stages.quantization.examples import Examples
from pipeline.stages.quantization.float_layers import keep_layers_float
from pipeline.stages.quantization.integers import ForIsa, WideIntegerType, integer_limits, reduces_range
from pipeline.stages.quantization.nodes import MIN_SQNR_DB, PRODUCTS, has_attention, require_quantized, weighted_nodes
from pipeline.stages.quantization.preparation import prepare, require_float
from pipeline.stages.quantization.static_graph import (
    grouped_transposed,
    keep_results_float,
    left_in_float,
    overrides,
    share_of,
)

if TYPE_CHECKING:
    import onnx

Compensation = Literal["none", "bias", "full"]
Percentile = Annotated[float, Gt(50), Le(100), Hint("99.99 leaves out the largest one of 10,000")]


_CALIBRATED = 0.6
"""The share of the work that is done when the ranges are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeStatic:
    """Quantize weights and activations of an ONNX model (Jacob et al. 2018, arXiv:1712.05877).

    In qdq, what a Gemm or MatMul makes stays in float where it is read in float.
    """

    format: QuantizedFormat = "qdq"
    """``qdq`` writes pairs of QuantizeLinear and DequantizeLinear, which runtimes fuse into integer kernels when they
    load the model; ``qoperator`` writes ONNX Runtime's integer operators themselves."""
    calibration: Calibration = "minmax"
    """The choice of the activations' ranges. ``minmax`` takes the smallest and the largest value. ``percentile`` cuts
    off the share beyond ``percentile``. ``entropy`` minimises the Kullback-Leibler divergence between the float and the
    quantized histogram, ``mse`` the mean squared error, ``output`` the error of the products that read a value: there
    each channel counts as much as its weights are large. ``distribution`` is ONNX Runtime's method for float8, which in
    8-bit integers gives minmax's range."""
    percentile: Percentile = 99.99
    calibration_examples: Count | None = None
    """How many calibration examples to use, from the first on; null: the whole split, batch by batch."""
    max_memory_mb: Count = 1024
    """The most memory that the activations of a batch may take."""
    per_channel: bool = True
    symmetric: bool = False
    """Whether the zero points of activations stay at the middle."""
    weight_symmetric: bool = True
    """Whether the zero points of weights stay at the middle."""
    reduce_range: bool | None = None
    """Whether weights get 7 bits; null asks ``for_isa`` (``reduces_range``)."""
    for_isa: ForIsa = "this"
    """The processor whose kernels the weights have to suit: this machine's, any, or one with this instruction set."""
    activation_type: WideIntegerType = "uint8"
    """The integer type of activations. 16-bit types need qdq; on most processors such products run in float."""
    weight_type: WideIntegerType = "int8"
    op_types: tuple[str, ...] | None = None
    """The operator types to quantize; null: all that ONNX Runtime can quantize, but in a model with attention only its
    products (``has_attention``)."""
    exclude_nodes: tuple[str, ...] = ()
    """Names or glob patterns of nodes that stay in float."""
    exclude_op_types: tuple[str, ...] = ()
    compensation: Compensation = "bias"
    """What is done about the error that quantization adds, one product after the other, on calibration examples.
    ``bias``: what it adds to the mean of a product's result is taken out of the product's bias. ``full``: the weights
    are solved anew as well, and rounded so that their errors take each other back
    (``pipeline.stages.quantization.compensation``)."""
    min_sqnr_db: float | None = MIN_SQNR_DB
    """The least signal over error of each output (``Floor``); null: the output may be as far from its source as it
    likes."""

    role: ClassVar[Role] = "precision"
    accepts: ClassVar[frozenset[Format]] = frozenset({"onnx"})
    produces: ClassVar[Format] = "onnx"
    version: ClassVar[int] = 10
    reads: ClassVar[frozenset[SplitName]] = frozenset({"calibration"})
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu", "onnx")
    tolerance: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        if self.format == "qoperator" and "16" in self.activation_type + self.weight_type:
            raise ValueError("16-bit types need format=qdq")
        if self.activation_type == "int8" and self.weight_type == "uint8":
            raise ValueError("activation_type=int8 with weight_type=uint8 has no kernels: set weight_type=int8")

    def machine_key(self, isa: frozenset[str]) -> Mapping[str, Any]:
        """The part of the cache key that depends on this machine."""
        return {"reduce_range": reduces_range(self.reduce_range, self.for_isa, self.weight_type, isa)}

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the quantized model; raises StageFailed without calibration data, Unchanged where nothing can be
        quantized, Skipped where the model is quantized already."""
        import onnx

        calibrated = self.settled(source, out, context, floor_of(self, context.override))
        quantized = onnx.load(out / ONNX_FILE, load_external_data=False)
        context.note("reduce_range", reduces_range(self.reduce_range, self.for_isa, self.weight_type, context.isa))
        if self.op_types is None and calibrated.choice.op_types is not None:
            context.note("op_types", list(calibrated.choice.op_types))
        per_tensor = sorted(grouped_transposed(calibrated.model)) if self.per_channel else []
        if per_tensor:
            context.note("one_scale_per_tensor", f"{', '.join(per_tensor)}: grouped transposed convolutions")
        context.note("quantized", share_of(calibrated.model, quantized))
        context.note("calibration_examples", len(calibrated.examples))

    def settled(self, source: Artifact, out: Path, context: Context, floor: Floor | None) -> Calibrated:
        """Write the quantized model in the first way that works, and return the calibrated model that it was made from,
        with that way."""
        import onnx

        examples = Examples.of(context, "static quantization", self.calibration_examples)
        plain = onnx.load(source.onnx_path, load_external_data=False)
        require_float(plain)
        prove = proof(source, context, floor)
        made: dict[bool, Calibrated] = {}

        @cache
        def ready(optimized: bool) -> Calibrated | StageFailed:
            try:
                made[optimized] = self._calibrated(source, plain, examples, optimized, context)
            except StageFailed as error:
                return error
            return made[optimized]

        def attempt(way: Way) -> Calibrated:
            found = ready(way.optimized)
            if isinstance(found, StageFailed):
                raise found
            calibrated = replace(found, way=way)
            writing = context.part(_CALIBRATED, 1.0)
            writing.progress(0.0, "writing the quantized model")
            quantized = self.write(calibrated, (), out, writing)
            require_quantized(weighted_nodes(calibrated.model), left_in_float(quantized))
            prove(out)
            return calibrated

        def asked() -> Asked:
            model = next(iter(made.values())).model if made else plain
            return Asked(nodes=model.graph.node, per_channel=self.per_channel)

        return quantized_gently(asked, attempt, out, context.note)

    def _calibrated(
        self, source: Artifact, plain: onnx.ModelProto, examples: Examples, optimized: bool, context: Context
    ) -> Calibrated:
        """The model as quantization wants it, and its activations' ranges."""
        import onnx

        context.work.mkdir(parents=True, exist_ok=True)
        prepared = prepare(source, context, optimized=optimized)
        model = onnx.load(prepared, load_external_data=False)
        choice = chosen_nodes(
            plain,
            model,
            exclude_nodes=self.exclude_nodes,
            exclude_op_types=self.exclude_op_types,
            op_types=self.op_types,
        )
        if self.op_types is None and has_attention(model):
            choice = replace(choice, op_types=PRODUCTS)
        ranges = calibrate(
            prepared,
            examples,
            method=self.calibration,
            percentile=self.percentile,
            symmetric=self.symmetric,
            levels=2 ** (16 if "16" in self.activation_type else 8),
            max_memory_mb=self.max_memory_mb,
            large=is_large(source),
            work=context.work,
            progress=context.part(0.0, _CALIBRATED).progress,
        )
        return Calibrated(source=source, path=prepared, model=model, ranges=ranges, examples=examples, choice=choice)

    def write(self, calibrated: Calibrated, excluded: Sequence[str], out: Path, context: Context) -> onnx.ModelProto:
        """Write the model quantized but for the ``excluded`` nodes and the other nodes that are left out, and return
        it."""
        plain = self._written(calibrated, excluded, out, context)
        if self.compensation == "none":
            return plain
        reduce_range = reduces_range(self.reduce_range, self.for_isa, self.weight_type, context.isa)
        return compensated(
            calibrated,
            plain,
            out,
            lambda path, form, folder: replace(self, format=form)._written(
                replace(calibrated, path=path), excluded, folder, context
            ),
            Settings(
                format=self.format,
                solves_weights=self.compensation == "full",
                limits=integer_limits(self.weight_type, reduce_range=reduce_range, symmetric=self.weight_symmetric),
            ),
            context,
        )

    def _written(self, calibrated: Calibrated, excluded: Sequence[str], out: Path, context: Context) -> onnx.ModelProto:
        import onnx

        reduce_range = reduces_range(self.reduce_range, self.for_isa, self.weight_type, context.isa)
        self._quantize(calibrated, out / ONNX_FILE, excluded, reduce_range, context.work)
        quantized = onnx.load(out / ONNX_FILE, load_external_data=False)
        changed = keep_results_float(quantized, calibrated.model)
        kept = keep_layers_float(quantized, out)
        if repair(quantized) or changed or kept:
            onnx.save(quantized, out / ONNX_FILE)
        return quantized

    def _quantize(
        self, calibrated: Calibrated, path: Path, excluded: Sequence[str], reduce_range: bool, work: Path
    ) -> None:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        types = {
            "int8": QuantType.QInt8,
            "uint8": QuantType.QUInt8,
            "int16": QuantType.QInt16,
            "uint16": QuantType.QUInt16,
        }
        per_channel = self.per_channel and calibrated.way.per_channel
        op_types = calibrated.choice.op_types
        with library_call(work):
            quantize_static(
                calibrated.path,
                path,
                quant_format=QuantFormat.QDQ if self.format == "qdq" else QuantFormat.QOperator,
                op_types_to_quantize=None if op_types is None else list(op_types),
                per_channel=per_channel,
                reduce_range=reduce_range,
                activation_type=types[self.activation_type],
                weight_type=types[self.weight_type],
                nodes_to_exclude=[*calibrated.choice.excluded, *excluded, *calibrated.way.kept],
                use_external_data_format=is_large(calibrated.source),
                calibrate_method=CalibrationMethod[METHODS[self.calibration]],
                extra_options={
                    "ActivationSymmetric": self.symmetric,
                    "WeightSymmetric": self.weight_symmetric,
                    "TensorQuantOverrides": overrides(calibrated.model, reduce_range) if per_channel else {},
                },
                calibration_cache_path=calibrated.ranges.path,
            )
