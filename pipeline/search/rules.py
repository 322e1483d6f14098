"""The rules that leave candidates out of a search before anything is built, as they can't pay; each with its reason.

The figures are those of docs/optimizations.md, where no other source is named.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.machine.instruction_sets import BF16, is_x86
from pipeline.plan import Stage, is_export, role_of
from pipeline.plan.hints import Gain, gain_of
from pipeline.results import numbers as show
from pipeline.results.change import StageField
from pipeline.search.facts import Facts
from pipeline.search.fits import FITS, Rule, first_stage
from pipeline.search.space import Candidate

MANY_CONVOLUTIONS = 0.2
"""Convolutions with this share of the work that take five times as long take as long as the whole model did."""
FEW_PRODUCTS = 0.1
"""With less than this share of the work, products that took no time at all would make a model 1.11 times as fast."""
FEW_WEIGHTS = 0.5
"""Products hold fewer than this share of the weights: reading them is not what the model does most."""


def left_out(candidate: Candidate, facts: Facts, *, rules: bool = True) -> str | None:
    """The first reason why a candidate is not tried: it can't run here or, unless ``rules`` is False, it can't pay.
    None where it is tried."""
    reasons = (rule(candidate, facts) for rule in (*FITS, *(RULES if rules else ())))
    return next((reason for reason in reasons if reason is not None), None)


def prunes_without_training(candidate: Candidate, _: Facts) -> str | None:
    """A pruned model is of no use before it is trained: half of the channels gone left 14 % of 95 % accuracy on
    fashion_resnet, a cosine of 0.01 on EfficientNet-Lite0, and of 0.57 on MiniLM."""
    roles = [(role_of(stage), "train" in stage.reads) for stage in candidate.variant.stages.values()]
    places = [place for place, (role, _) in enumerate(roles) if role == "architecture"]
    if not places or any(role == "training" or trains for role, trains in roles[places[-1] + 1 :]):
        return None
    return f"nothing trains the model after {list(candidate.variant.stages)[places[-1]]}, which costs the accuracy"


def learns_from_noise(candidate: Candidate, facts: Facts) -> str | None:
    """Ranges, layers and weights that are chosen by random values (``data=random``) fit no real data, and no accuracy
    would show it."""
    name = first_stage(candidate, lambda stage: bool(stage.reads)) if facts.drawn else None
    return None if name is None else f"{name} would go by examples, and these are random values"


def quantizes_convolutions_dynamically(candidate: Candidate, facts: Facts) -> str | None:
    """ONNX Runtime has no fast kernel for ConvInteger: with dynamic int8 fashion_resnet ran at 0.20x and 0.15x of its
    speed, EfficientNet-Lite0 at 0.10x and 0.08x (without VNNI and with it), fashion_resnet on OpenVINO at 0.46x."""
    share = None if facts.graph is None else facts.graph.convolutions
    name = first_stage(candidate, lambda stage: gain_of(stage) == "integer products" and _takes(stage, "Conv"))
    if name is None or share is None or share < MANY_CONVOLUTIONS:
        return None
    return (
        f"{show.share(share)} of the work are convolutions, which {name} makes five times slower or more: no runtime "
        "has a fast kernel for them"
    )


def has_few_products(candidate: Candidate, facts: Facts) -> str | None:
    """Integer products and weight-only formats change matrix products only: on networks of convolutions with one such
    product they made no difference (0.99x to 1.03x on fashion_resnet and EfficientNet-Lite0)."""
    graph = facts.graph
    name = _gains(candidate, "integer products") or _gains(candidate, "smaller weights")
    if name is None or graph is None or graph.products is None:
        return None
    if graph.products >= FEW_PRODUCTS or graph.product_weights >= FEW_WEIGHTS:
        return None
    return (
        f"{name} changes matrix products, which are {show.share(graph.products)} of the work and read "
        f"{show.share(graph.product_weights)} of the weights"
    )


def multiplies_integers_in_float(candidate: Candidate, _: Facts) -> str | None:
    """OpenVINO turns the factors of MatMulInteger into 32 bits before it multiplies them
    (src/frontends/onnx/frontend/src/op/matmul_integer.cpp): dynamic int8 ran MiniLM at 0.77x of the baseline there, and
    at 1.56x on ONNX Runtime."""
    if getattr(candidate.target.backend, "multiplies_integers", True):
        return None
    name = _gains(candidate, "integer products")
    runtime = candidate.target.backend.name
    return None if name is None else f"{name} makes products of integers, which {runtime} computes in 32 bits"


def has_nothing_to_smooth(candidate: Candidate, facts: Facts) -> str | None:
    """SmoothQuant is about outliers behind the layer normalizations of transformers (Xiao et al. 2023,
    arXiv:2211.10438); on two networks of convolutions it changed neither speed nor accuracy (1.67x and 1.69x, cosines
    of 0.9473 and 0.9472 with it and without)."""
    graph = facts.graph
    name = _gains(candidate, "smoothed layers")
    if name is None or graph is None or graph.attention or graph.normalizes:
        return None
    return f"the model has neither attention nor layer normalizations, whose outliers {name} is about"


def has_nothing_to_fuse(candidate: Candidate, facts: Facts) -> str | None:
    """The fusions look for attention, and for layer normalizations and GELUs beside it; networks of convolutions had
    nothing to fuse."""
    name = _gains(candidate, "attention")
    if name is None or facts.graph is None or facts.graph.attention:
        return None
    return f"the model has no attention that {name} could fuse"


def does_what_loading_does(candidate: Candidate, _: Facts) -> str | None:
    """A runtime folds constants and drops idle nodes when it loads a model: simplified and optimized graphs ran at
    0.99x to 1.01x on three models and two machines. It does not where its ``graph_level`` is lower."""
    changing = [stage for stage in candidate.variant.stages.values() if not is_export(stage)]
    if not changing or any(gain_of(stage) != "loading" for stage in changing):
        return None
    if candidate.target.session.get("graph_level", "all") != "all":
        return None
    return f"{candidate.target.backend.name} does the same whenever it loads the model"


def exports_what_is_exported(candidate: Candidate, facts: Facts) -> str | None:
    """An ONNX model passes through the export as it is, so another exporter makes the same model."""
    if facts.source != "onnx" or first_stage(candidate, lambda stage: stage.produces == "torch"):
        return None
    changed = {change.stage for change in candidate.changes if isinstance(change, StageField)}
    stage = first_stage(candidate, is_export)
    return None if stage not in changed else "the model is ONNX already, which no exporter changes"


def converts_to_float16_on_a_cpu(candidate: Candidate, _: Facts) -> str | None:
    """ONNX Runtime computes float16 in fp32 on a CPU, with casts before and after: 0.82x to 0.97x on three models and
    two machines."""
    name = _gains(candidate, "float16") if candidate.target.device == "cpu" else None
    return None if name is None else f"{name} makes float16, which a CPU's kernels compute in fp32 with casts around"


def computes_bfloat16_without_instructions(candidate: Candidate, facts: Facts) -> str | None:
    """Where AVX-512 comes without bf16, OpenVINO simulates it, and its documentation tells of a significant loss of
    speed against fp32 (docs.openvino.ai, Bfloat16 inference)."""
    if candidate.target.device != "cpu" or not _asks_for(candidate, "bf16", "bfloat16") or facts.isa & set(BF16):
        return None
    return f"{candidate.target.name} computes in bf16, and the processor has no instructions for it (AMX, AVX512_BF16)"


def computes_float16_on_x86(candidate: Candidate, facts: Facts) -> str | None:
    """On a Xeon with AMX, OpenVINO in f16 ran a mobile image network at 0.65x of its speed in f32."""
    if candidate.target.device != "cpu" or not _asks_for(candidate, "f16", "float16") or not is_x86(facts.isa):
        return None
    return f"{candidate.target.name} computes in float16, which was slower than fp32 on the x86 processor tried"


RULES: Sequence[Rule] = (
    exports_what_is_exported,
    learns_from_noise,
    prunes_without_training,
    quantizes_convolutions_dynamically,
    has_few_products,
    multiplies_integers_in_float,
    has_nothing_to_smooth,
    has_nothing_to_fuse,
    does_what_loading_does,
    converts_to_float16_on_a_cpu,
    computes_bfloat16_without_instructions,
    computes_float16_on_x86,
)
"""What could be tried and can't pay."""


def _gains(candidate: Candidate, gain: Gain) -> str | None:
    return first_stage(candidate, lambda stage: gain_of(stage) == gain)


def _takes(stage: Stage, op_type: str) -> bool:
    """Whether a stage's fields let it change operators of a type."""
    chosen = getattr(stage, "op_types", None)
    return (chosen is None or op_type in chosen) and op_type not in getattr(stage, "exclude_op_types", ())


def _asks_for(candidate: Candidate, *types: str) -> bool:
    session = candidate.target.session
    return session.get("precision") in types or session.get("dtype") in types
