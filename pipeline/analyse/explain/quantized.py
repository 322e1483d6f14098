"""What holds a quantized row back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.analyse.explain.evidence import (
    ATTENTION,
    CALIBRATED,
    DYNAMIC,
    FLOAT_PRODUCTS,
    INTEGER_CONVOLUTIONS,
    MATRIX_PRODUCTS,
    Evidence,
    Node,
    Sibling,
)
from pipeline.analyse.explain.telling import MATRIX_MODEL, WORTH_TELLING, count_of, kinds_of, names_of
from pipeline.machine.instruction_sets import lacks_dot_products
from pipeline.results import numbers as show
from pipeline.results.change import Change, StageSwapped
from pipeline.results.explanation import Cause, Outcome
from pipeline.results.record import StageRecord


def dynamic_convolutions(row: Evidence) -> Iterator[Cause]:
    """Dynamic quantization of convolutions has no fast kernels on CPUs."""
    slow = row.profile.select(INTEGER_CONVOLUTIONS)
    share = row.share(slow)
    stage = row.stage("precision")
    if not slow or stage is None or share < WORTH_TELLING:
        return
    what = (
        f"{show.share(share)} {row.of_a_call} goes into {count_of(slow, 'dynamically quantized convolution')} "
        "(ConvInteger), for which ONNX Runtime has no fast kernel: static quantization has"
    )
    if row.reference_share(MATRIX_PRODUCTS - ATTENTION) >= MATRIX_MODEL and "op_types" in stage.fields:
        change = row.with_field(stage, "op_types", ("MatMul",))
        yield Cause(what=what, share=share, change=change, nodes=names_of(slow))
        return
    yield _static_instead(row, stage, what, slow)


def ranges_in_every_call(row: Evidence) -> Iterator[Cause]:
    """Dynamic quantization looks for the activations' ranges in every call."""
    nodes = row.profile.select(DYNAMIC)
    share = row.share(nodes)
    stage = row.stage("precision")
    if share >= WORTH_TELLING:
        yield _static_instead(
            row,
            stage,
            f"{show.share(share)} {row.of_a_call} goes into taking the activations' ranges anew "
            f"({count_of(nodes, 'DynamicQuantizeLinear')}), which static quantization does once, on calibration data",
            nodes,
        )


def left_in_float(row: Evidence) -> Iterator[Cause]:
    """Products of a quantized model that ran in floating point."""
    stage = row.stage("precision")
    fused = row.noting("fused") is not None and row.noting(CALIBRATED) is not None
    nodes = row.profile.select(FLOAT_PRODUCTS - ATTENTION if fused else FLOAT_PRODUCTS, "float")
    share = row.profile.share(nodes)
    if stage is None or row.computes("fp16") or share < WORTH_TELLING:
        return
    excluding = next((name for name in ("exclude_nodes", "exclude_op_types") if stage.fields.get(name)), None)
    yield Cause(
        what=f"{show.share(share)} {row.of_a_call} is products that still run in fp32: {kinds_of(nodes)}",
        share=share,
        change=None if excluding is None else row.with_field(stage, excluding, ()),
        nodes=names_of(nodes),
    )


def no_dot_products(row: Evidence) -> Iterator[Cause]:
    """Without VNNI or AMX, int8 products are hardly faster than fp32's."""
    if row.device != "cpu" or not row.computes("int8") or not lacks_dot_products(row.isa):
        return
    peaks = row.peaks
    measured = ""
    if peaks is not None and peaks.fp32_macs_per_s and peaks.int8_macs_per_s:
        ratio = peaks.int8_macs_per_s / peaks.fp32_macs_per_s
        measured = f": large int8 products run at {show.number(ratio, 1)} times the rate of fp32 here (measured)"
    yield Cause(what=f"this processor has neither VNNI nor AMX{measured}")


def _static_instead(row: Evidence, stage: StageRecord | None, what: str, nodes: Sequence[Node]) -> Cause:
    """Static quantization: how it did where this run has it, and what to type where it hasn't."""
    sibling = row.calibrated_instead_of(stage) if stage is not None else None
    share, names = row.share(nodes), names_of(nodes)
    if sibling is None:
        change = None if stage is None else _static(row, stage)
        return Cause(what=what, share=share, change=change, nodes=names)
    return Cause(what=what, share=share, outcome=outcome_of(sibling), nodes=names)


def outcome_of(sibling: Sibling) -> Outcome:
    """How another row of this run did."""
    speedup = sibling.speedup
    return Outcome(
        variant=sibling.variant.name,
        against=speedup.reference.variant,
        value=speedup.value,
        low=speedup.low,
        high=speedup.high,
    )


def _static(row: Evidence, stage: StageRecord) -> Change:
    kind = "pipeline.stages.quantize_static.QuantizeStatic"
    return StageSwapped(variant=row.variant.name, stage=stage.name, by="quantize_static", kind=kind)
