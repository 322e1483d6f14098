"""How close a row comes to what its device can do at best: the roofline model, with peaks that were measured.

The bytes are what a model has to move at least (``pipeline.artifact.work``), through whichever memory: a model that
fits in the cache is not held to the speed of the copy, and its share may exceed 1. The compute share may exceed 1, too,
where a runtime has a faster way than the product that the peak was measured with.

Source: Williams, Waterman & Patterson 2009.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pipeline.errors.contained import Faults
from pipeline.results.figures import Limits, LimitVerdict, ProductType
from pipeline.results.header import Peaks
from pipeline.results.record import Record, VariantRecord, subject_key
from pipeline.results.report import Result

BUSY = 0.10
"""Below this share of both peaks neither holds a row back. Its profile then tells what does: overhead, or slow
kernels."""
MOSTLY = 0.5
"""From this share on, a call counts as made of the time that comes with every call and operator."""
START_MS = 0.005
"""About the time that a runtime takes to start an operator; time beyond that is the kernel's."""
_NAMES = {"float32": "fp32", "float16": "fp16"}


def with_limits(record: Record, rows: Mapping[str, list[Result]], faults: Faults) -> dict[str, list[Result]]:
    """The rows by variant; each row that was timed has its limits, where its target's peaks were measured."""
    variants = {variant.name: variant for variant in record.variants}
    peaks = record.peaks
    profiles = {subject.key: subject.profile for subject in record.subjects}

    def marked(variant: VariantRecord, row: Result) -> Result:
        if row.latency_ms is None or row.target not in peaks:
            return row
        session = record.targets[row.target].session
        found = limits(variant, row.batch_size, row.latency_ms.p50.value, peaks[row.target], session)
        profile = profiles.get(subject_key(variant.name, row.target, row.batch_size)) or {"reason": "not asked"}
        return replace(row, limits=replace(found, verdict=_told_more(found, row, profile)))

    def contained(variant: VariantRecord, row: Result) -> Result:
        part = f"the machine's limit for {subject_key(variant.name, row.target, row.batch_size)}"
        return faults.contain(part, lambda: marked(variant, row), row)

    return {name: [contained(variants[name], row) for row in found] for name, found in rows.items()}


def limits(
    variant: VariantRecord, batch_size: int, latency_ms: float, peaks: Peaks, session: Mapping[str, Any]
) -> Limits:
    """The limits of a row whose median call takes ``latency_ms``; ``session`` is its target's."""
    seconds = latency_ms / 1e3
    macs = None if variant.macs is None else variant.macs * batch_size
    moved = _moved_bytes(variant, batch_size)
    peak, kind, why_not = _compute_peak(variant, peaks, session)
    compute = None if macs is None or peak is None else macs / seconds / peak
    memory = None if moved is None or peaks.bytes_per_s is None else moved / seconds / peaks.bytes_per_s
    known = compute is not None and memory is not None
    return Limits(
        macs_per_s=None if macs is None else macs / seconds,
        compute_share=compute,
        compute_peak=kind if compute is not None else None,
        bytes_per_s=None if moved is None else moved / seconds,
        memory_share=memory,
        intensity=None if macs is None or not moved else macs / moved,
        balance=None if peak is None or not peaks.bytes_per_s else peak / peaks.bytes_per_s,
        verdict=_verdict(compute, memory) if compute is not None and memory is not None else None,
        reason=None if known else _reason(variant, moved, why_not, peaks),
    )


def _told_more(found: Limits, row: Result, profile: Mapping[str, Any]) -> LimitVerdict | None:
    """What holds a row back that reaches neither limit, or whose device is idle in most of a call.

    Of an accelerator its own time tells: a profile has what the host takes to ask for the operators, or kernels that a
    CUDA graph starts otherwise.
    """
    if found.verdict is not None and _idle(row):
        return "overhead"
    if found.verdict != "neither" or row.latency_ms is None:
        return found.verdict
    if row.device == "cpu":
        if "reason" in profile:
            return "neither"
        return "overhead" if _overhead(profile) >= MOSTLY else "slow kernels"
    return "neither" if row.device_ms is None else "slow kernels"


def _idle(row: Result) -> bool:
    """Whether an accelerator waits for the host in most of a call: for the next kernel, or for inputs and outputs."""
    time, latency = row.device_ms, row.latency_ms
    return time is not None and latency is not None and (time.launch_bound or time.share_of(latency.p50.value) < MOSTLY)


def _overhead(profile: Mapping[str, Any]) -> float:
    """The share of a profiled call that passes beside its operators, or in what starting one takes."""
    operators_ms = [node["ms"] for node in profile["nodes"]]
    call_ms = float(profile["call_ms"]) or 1.0
    overhead_ms = max(0.0, call_ms - sum(operators_ms)) + sum(min(ms, START_MS) for ms in operators_ms)
    return float(overhead_ms / call_ms)


def _moved_bytes(variant: VariantRecord, batch_size: int) -> int | None:
    if variant.weight_bytes is None or variant.activation_bytes is None:
        return None
    return variant.weight_bytes + variant.activation_bytes * batch_size


def _compute_peak(
    variant: VariantRecord, peaks: Peaks, session: Mapping[str, Any]
) -> tuple[float | None, ProductType | Literal["mixed"] | None, str | None]:
    """The peak for this model's mix of types, its name, and why there is none.

    A model with products of several types has the peak of doing each type at its own: the harmonic mean by MACs.
    """
    by_type = {kind: macs for kind, macs in variant.macs_by_type.items() if macs}
    if not by_type:
        return None, None, "the model's multiply-accumulates are not known"
    rates: dict[ProductType, float | None] = {
        "fp32": peaks.fp32_macs_per_s,
        "tf32": peaks.tf32_macs_per_s,
        "fp16": peaks.fp16_macs_per_s,
        "int8": peaks.int8_macs_per_s,
    }
    seconds = 0.0
    computed = {kind: _fp32_products_in(session) if kind == "fp32" else kind for kind in by_type}
    for kind, macs in by_type.items():
        rate = next((rate for name, rate in rates.items() if name == computed[kind]), None)
        if not rate:
            reason = _because(peaks.reasons.get(computed[kind]))
            return None, None, f"no peak was measured for {computed[kind]}{reason}"
        seconds += macs / rate
    used: list[ProductType] = [name for name in rates if name in computed.values()]
    return sum(by_type.values()) / seconds, used[0] if len(by_type) == 1 else "mixed", None


def _fp32_products_in(session: Mapping[str, Any]) -> str:
    """What a target with these settings computes the fp32 products of a model in."""
    dtype = session.get("dtype", "float32")
    if session.get("provider_options", {}).get("trt_fp16_enable"):
        return "fp16"
    return "tf32" if session.get("tf32") and dtype == "float32" else _NAMES.get(dtype, dtype)


def _verdict(compute: float, memory: float) -> LimitVerdict:
    if max(compute, memory) < BUSY:
        return "neither"
    return "compute-bound" if compute >= memory else "memory-bound"


def _reason(variant: VariantRecord, moved: int | None, no_compute: str | None, peaks: Peaks) -> str:
    if no_compute is not None:
        return no_compute
    if moved is None:
        kind = "PyTorch model" if variant.format == "torch" else "model"
        return f"the bytes that this {kind} moves are not known"
    return f"no peak was measured for copying{_because(peaks.reasons.get('copy'))}"


def _because(reason: str | None) -> str:
    return "" if reason is None else f": {reason}"
