"""What a search leaves out before anything is built: each rule leaves out what it is about, and nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.openvino import OpenVino
from pipeline.backends.torch import Torch
from pipeline.data.dataset import SplitName
from pipeline.plan import Stage, Target, Variant
from pipeline.results.change import StageField
from pipeline.search.facts import Facts, Graph
from pipeline.search.fits import FITS
from pipeline.search.rules import RULES, left_out
from pipeline.search.space import Candidate
from pipeline.stages.convert_fp16 import ConvertFp16
from pipeline.stages.export import ExportOnnx
from pipeline.stages.finetune import Finetune
from pipeline.stages.fix_shapes import FixShapes
from pipeline.stages.fuse import Fuse
from pipeline.stages.optimize_graph import OptimizeGraph
from pipeline.stages.prune import Prune
from pipeline.stages.quantize_aware import QuantizeAware
from pipeline.stages.quantize_dynamic import QuantizeDynamic
from pipeline.stages.quantize_nncf import QuantizeNncf
from pipeline.stages.quantize_static import QuantizeStatic
from pipeline.stages.quantize_weights import QuantizeWeights
from pipeline.stages.recalibrate import Recalibrate
from pipeline.stages.simplify import Simplify
from pipeline.stages.smooth_quant import SmoothQuant

ENCODER = Graph(
    convolutions=0.0,
    products=0.9,
    product_weights=0.5,
    attention=True,
    normalizes=True,
    quantized=False,
    free=True,
)
NETWORK = replace(ENCODER, convolutions=0.99, products=0.01, product_weights=0.2, attention=False, normalizes=False)
UNKNOWN = replace(NETWORK, convolutions=None, products=None)
FACTS = Facts(
    source="torch",
    graph=ENCODER,
    isa=frozenset({"avx2", "avx512f", "avx512_vnni", "amx_bf16"}),
    splits=dict.fromkeys(get_args(SplitName), 500),
    labels=True,
    batch_sizes=(1,),
)
ON_NETWORK = replace(FACTS, graph=NETWORK)
OLD = replace(FACTS, isa=frozenset({"avx2", "avx512f"}))
ORT = Target(name="ort_cpu", backend=OnnxRuntime())
OPENVINO = Target(name="openvino_cpu", backend=OpenVino(), session={"precision": "f32"})
BF16 = Target(name="openvino_cpu_bf16", backend=OpenVino(), session={"precision": "bf16"})
TORCH = Target(name="torch_cpu", backend=Torch())
EXPORT = {"export": ExportOnnx()}


def chain(**stages: Stage) -> Mapping[str, Stage]:
    """A chain with the export first."""
    return {**EXPORT, **stages}


def reason(stages: Mapping[str, Stage], target: Target, facts: Facts, **changes: Any) -> str | None:
    variant = Variant(name="v", stages=stages, **changes)
    return left_out(Candidate(variant=variant, target=target, chain="v"), facts)


PRUNED = {"prune": Prune(), **EXPORT}
TUNED = {"prune": Prune(), "finetune": Finetune(), **EXPORT}
DYNAMIC, STATIC = chain(quantize=QuantizeDynamic()), chain(quantize=QuantizeStatic())
PRODUCTS = chain(quantize=QuantizeDynamic(op_types=("MatMul",)))
FIXED = chain(fix=FixShapes())
HALF = replace(ORT, session={"graph_level": "basic"})
ARM = replace(FACTS, isa=frozenset({"asimd", "bf16"}))


@pytest.mark.parametrize(
    ("stages", "target", "facts", "says"),
    [
        (TUNED, ORT, replace(FACTS, source="onnx"), "prune needs a PyTorch model"),
        (STATIC, ORT, replace(FACTS, unavailable={"ort_cpu": "it is not here"}), "it is not here"),
        (STATIC, TORCH, FACTS, "torch can't run what quantize makes"),
        (EXPORT, TORCH, replace(FACTS, source="onnx"), "v has no torch model for torch"),
        (chain(s=Simplify()), HALF, replace(FACTS, missing=frozenset({"onnxslim"})), "s needs onnxslim, which is not"),
        (STATIC, ORT, replace(FACTS, splits={"test": 500}), "quantize reads calibration examples, and the data"),
        (TUNED, ORT, replace(FACTS, splits={"test": 500}), "finetune reads train and validation examples"),
        (
            TUNED,
            ORT,
            replace(FACTS, splits={**FACTS.splits, "train": 104}),
            "finetune trains in batches of 128, and the data has 104 training examples: set its batch_size to 104",
        ),
        (
            {**TUNED, "finetune": Finetune(distill_weight=0.5)},
            ORT,
            replace(FACTS, labels=False),
            "finetune learns from labels",
        ),
        ({"q": QuantizeAware()}, ORT, replace(FACTS, labels=False), "q learns from labels"),
        (STATIC, ORT, replace(FACTS, graph=replace(ENCODER, quantized=True)), "the model is quantized already"),
        (FIXED, OPENVINO, replace(FACTS, graph=replace(ENCODER, free=False)), "shapes are fixed already, so fix"),
        (FIXED, OPENVINO, replace(FACTS, batch_sizes=(4, 8)), "fix fixes the batch at 1, and the batch sizes are 4, 8"),
        (STATIC, ORT, replace(FACTS, drawn=True), "quantize would go by examples, and these are random values"),
        (PRUNED, ORT, FACTS, "nothing trains the model after prune"),
        (DYNAMIC, ORT, ON_NETWORK, "99 % of the work are convolutions"),
        (PRODUCTS, ORT, ON_NETWORK, "which are 1 % of the work and read 20 % of the weights"),
        (chain(quantize=QuantizeWeights()), ORT, ON_NETWORK, "which are 1 % of the work"),
        (DYNAMIC, OPENVINO, FACTS, "which openvino computes in 32 bits"),
        (chain(s=SmoothQuant(), q=QuantizeStatic()), ORT, ON_NETWORK, "neither attention nor layer normalizations"),
        (chain(fuse=Fuse()), ORT, ON_NETWORK, "no attention that fuse could fuse"),
        (chain(simplify=Simplify()), ORT, FACTS, "onnxruntime does the same whenever it loads the model"),
        (chain(s=Simplify(), o=OptimizeGraph()), OPENVINO, FACTS, "openvino does the same whenever it loads"),
        (chain(convert=ConvertFp16()), ORT, FACTS, "which a CPU's kernels compute in fp32"),
        (EXPORT, BF16, OLD, "the processor has no instructions for it"),
        (EXPORT, replace(TORCH, session={"dtype": "bfloat16"}), OLD, "the processor has no instructions for it"),
        (EXPORT, replace(OPENVINO, session={"precision": "f16"}), FACTS, "which was slower than fp32"),
    ],
)
def test_what_a_rule_is_about_is_left_out(stages: Mapping[str, Stage], target: Target, facts: Facts, says: str) -> None:
    assert says in (reason(stages, target, facts) or "")


@pytest.mark.parametrize(
    ("stages", "target", "facts"),
    [
        (TUNED, ORT, FACTS),
        (TUNED, TORCH, FACTS),
        (STATIC, ORT, replace(FACTS, splits={**FACTS.splits, "train": 1})),
        (EXPORT, TORCH, FACTS),
        (EXPORT, ORT, replace(FACTS, source="onnx", graph=None)),
        (chain(s=Simplify()), HALF, FACTS),
        (STATIC, ORT, replace(FACTS, splits={"test": 500, "calibration": 500}, labels=False)),
        (TUNED, ORT, replace(FACTS, labels=False)),
        (DYNAMIC, ORT, replace(FACTS, drawn=True)),
        (FIXED, OPENVINO, replace(FACTS, graph=replace(ENCODER, quantized=True))),
        (chain(fix=FixShapes(batch_size=4)), OPENVINO, replace(FACTS, batch_sizes=(4, 8))),
        (
            chain(fix=FixShapes(), quantize=QuantizeNncf()),
            OPENVINO,
            replace(FACTS, graph=replace(ENCODER, free=False), batch_sizes=(4,)),
        ),
        ({"prune": Prune(), "recalibrate": Recalibrate(), **EXPORT}, ORT, FACTS),
        ({"prune": Prune(), "quantize": QuantizeAware()}, ORT, FACTS),
        (DYNAMIC, ORT, FACTS),
        (DYNAMIC, ORT, replace(FACTS, graph=UNKNOWN)),
        (DYNAMIC, ORT, replace(FACTS, graph=None)),
        (PRODUCTS, ORT, replace(FACTS, graph=replace(NETWORK, products=0.3))),
        (PRODUCTS, ORT, replace(FACTS, graph=replace(NETWORK, product_weights=0.9))),
        (chain(quantize=QuantizeDynamic(exclude_op_types=("Conv",))), ORT, replace(ON_NETWORK, graph=UNKNOWN)),
        (chain(quantize=QuantizeWeights()), ORT, FACTS),
        (STATIC, OPENVINO, FACTS),
        (chain(s=SmoothQuant(), q=QuantizeStatic()), ORT, FACTS),
        (chain(fuse=Fuse()), ORT, FACTS),
        (chain(s=Simplify(), q=QuantizeStatic()), ORT, FACTS),
        (chain(convert=ConvertFp16()), Target(name="gpu", backend=OnnxRuntime(), device="cuda"), FACTS),
        (EXPORT, BF16, FACTS),
        (EXPORT, BF16, ARM),
        (EXPORT, replace(OPENVINO, session={"precision": "f16"}), ARM),
    ],
)
def test_what_no_rule_is_about_is_tried(stages: Mapping[str, Stage], target: Target, facts: Facts) -> None:
    assert reason(stages, target, facts) is None


def test_static_int8_is_tried_on_a_processor_without_byte_products() -> None:
    assert reason(STATIC, ORT, replace(OLD, isa=frozenset({"avx2"}))) is None


def test_a_variant_for_other_devices_is_left_out_with_what_asks_for_it() -> None:
    said = reason(chain(convert=ConvertFp16()), ORT, FACTS, devices=("cuda",))
    assert said == "v is not measured on cpu unless asked: variants.v.devices=[cuda,cpu]"


def test_without_rules_only_what_can_not_run_is_left_out() -> None:
    def said(stages: Mapping[str, Stage], facts: Facts) -> str | None:
        variant = Variant(name="v", stages=stages)
        return left_out(Candidate(variant=variant, target=ORT, chain="v"), facts, rules=False)

    assert said(DYNAMIC, ON_NETWORK) is None
    assert "calibration" in (said(STATIC, replace(FACTS, splits={"test": 500})) or "")


def test_each_rule_says_in_a_sentence_why() -> None:
    assert all(rule.__doc__ and rule.__doc__.rstrip().endswith(".") for rule in (*FITS, *RULES))


def test_another_exporter_of_an_onnx_file_is_left_out() -> None:
    plain = Candidate(variant=Variant(name="baseline", stages=EXPORT), target=ORT, chain="baseline")
    change = StageField(variant="baseline", stage="export", field="exporter", value="torchscript")
    other = replace(plain, changes=(change,))
    assert left_out(other, replace(FACTS, source="onnx")) == "the model is ONNX already, which no exporter changes"
    assert left_out(other, FACTS) is None
    assert left_out(plain, replace(FACTS, source="onnx")) is None
