"""Makes everything that the report shows from a run's record. Pure: the same record gives the same report."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from pipeline.analyse.accuracy import accuracies, margins, runtime_remarks
from pipeline.analyse.answers import answers
from pipeline.analyse.cells import Cells, cells_by_subject
from pipeline.analyse.explain.explain import with_explanations
from pipeline.analyse.factors.ranking import factors
from pipeline.analyse.flips import flips
from pipeline.analyse.ladder import ladders
from pipeline.analyse.limits import with_limits
from pipeline.analyse.map import with_times
from pipeline.analyse.noise import check_noise, unchecked
from pipeline.analyse.pareto import with_pareto
from pipeline.analyse.recommend.contest import contest
from pipeline.analyse.recommend.recommend import recommend
from pipeline.analyse.remarks import with_remarks
from pipeline.analyse.scenarios import scenario_result
from pipeline.analyse.speed import cost_per_million, estimate_ratios, judge_ratios, latency, throughput
from pipeline.analyse.steps import with_steps
from pipeline.analyse.summary import summarise
from pipeline.analyse.whole_call import with_whole_calls
from pipeline.errors.contained import Faults, contained
from pipeline.plan import MeasureSettings
from pipeline.results.figures import Accuracy, DeviceTime, Speedup
from pipeline.results.header import header_of
from pipeline.results.record import Record, SubjectRecord, VariantRecord
from pipeline.results.report import Report, Result, VariantResult
from pipeline.statistics.latency import Estimate, rounds_interval

Rows = dict[str, list[Result]]
"""The rows of each variant, by its name."""
LAUNCH_BOUND = 0.8
"""A device waits for the host where asking for the runs takes more than this share of its time."""


def analyse(record: Record) -> Report:
    """Derive every figure, verdict and sentence of the report from what the run recorded."""
    measure, constraints = record.measure, record.constraints
    cells = cells_by_subject(record.latency, _measured(record))
    faults = Faults()
    estimates = _estimates(record, cells, measure, faults)
    devices = {subject.key: subject.device for subject in record.subjects}
    cores = record.machine.cores
    checks = faults.contain(
        "the run's own checks",
        lambda: check_noise(cells, estimates, devices, record.latency, measure, cores),
        unchecked(record.latency, devices),
    )
    noisy = checks.noisy_rows(devices)
    dropped = faults.contain("the ratios with the dropped blocks", lambda: _with_dropped(record, measure, faults), {})
    speedups = judge_ratios(record.subjects, estimates, measure, noisy, dropped)
    judged = faults.contain("accuracy", lambda: accuracies(record.accuracy, constraints, measure), {})
    rows: Rows = {variant.name: [] for variant in record.variants}
    remarks = faults.contain("what runtimes do to outputs", lambda: runtime_remarks(record.accuracy), {})
    for subject in record.subjects:
        rows[subject.variant].append(_result(subject, cells, speedups, judged, measure, remarks, faults))
    rows = with_remarks(record, rows, cells, faults)
    rows = faults.contain("the steps of the chains", lambda: with_steps(record, rows, cells, measure), rows)
    rows = faults.contain("the Pareto front", lambda: with_pareto(rows, searched=record.search is not None), rows)
    rows = with_limits(record, rows, faults)
    rows = with_whole_calls(record, rows, faults)
    rows = with_explanations(record, rows, faults)
    variants = [_variant(variant, rows[variant.name]) for variant in record.variants]
    recommendation, why_none = contained(
        "the recommendation",
        lambda: recommend(variants, contest(record, variants, checks.devices)),
        lambda reason: (None, f"{reason}."),
    )
    return Report(
        **header_of(record),
        summary=contained(
            "the summary",
            lambda: summarise(variants, recommendation, why_none, checks.noise, record),
            lambda reason: f"{reason}.",
        ),
        recommendation=recommendation,
        why_none=why_none,
        noise=checks.noise,
        variants=variants,
        factors=faults.contain(
            "the four factors", lambda: factors(record, cells, judged, measure, checks.devices), None
        ),
        # Where one thing was varied at a time, the batch sizes are an axis of the four factors.
        ladders=[]
        if record.grid != "all"
        else faults.contain("the batch sizes", lambda: ladders(record.subjects, cells, measure, noisy), []),
        flips=faults.contain("the flipped examples", lambda: flips(record.accuracy, record.class_names, measure), []),
        maps=with_times(record, rows, recommendation, faults),
        faults=faults.sentences,
        margins=margins(judged),
        answers=faults.contain(
            "the answers", lambda: answers(record, contest(record, variants, checks.devices), recommendation), []
        ),
    )


def _result(
    subject: SubjectRecord,
    cells: Mapping[str, Cells],
    speedups: Mapping[str, Speedup],
    judged: Mapping[str, Accuracy],
    measure: MeasureSettings,
    remarks: Mapping[str, str],
    faults: Faults,
) -> Result:
    """A row; where its figures can't be made of what was recorded, it failed for that reason."""

    def failed(reason: str) -> Result:
        faults.sentences.append(reason)
        return Result(
            target=subject.target,
            device=subject.device,
            batch_size=subject.batch_size,
            status="failed",
            reason=reason,
            asked=subject.asked,
        )

    return contained(
        f"the row {subject.key}", lambda: _figures(subject, cells, speedups, judged, measure, remarks), failed
    )


def _figures(
    subject: SubjectRecord,
    cells: Mapping[str, Cells],
    speedups: Mapping[str, Speedup],
    judged: Mapping[str, Accuracy],
    measure: MeasureSettings,
    remarks: Mapping[str, str],
) -> Result:
    model = f"{subject.variant}@{subject.target}"
    mine = cells.get(subject.key)
    rate = None if mine is None else throughput(mine, subject.batch_size).value
    price = measure.price_per_hour
    return Result(
        target=subject.target,
        device=subject.device,
        batch_size=subject.batch_size,
        status=subject.status,
        reason=subject.reason,
        load_ms=_median(subject.load_ms),
        first_inference_ms=_median(subject.first_inference_ms),
        peak_memory_bytes=subject.peak_memory_bytes,
        peak_device_memory_bytes=subject.peak_device_memory_bytes,
        accuracy=judged.get(model) if subject.status == "ok" else None,
        latency_ms=None if mine is None else latency(mine, measure),
        device_ms=_device_time(subject),
        device_reason=subject.device_reason,
        throughput=rate,
        speedup=speedups.get(subject.key),
        cost_per_million=None if rate is None or price is None else cost_per_million(rate, price),
        energy=subject.energy,
        scenarios=[scenario_result(found) for found in subject.scenarios],
        remarks=[*subject.remarks, *([remarks[model]] if model in remarks and subject.status == "ok" else [])],
        asked=subject.asked,
    )


def _device_time(subject: SubjectRecord) -> DeviceTime | None:
    if not subject.device_ms:
        return None
    share = statistics.median(subject.enqueue_share)
    # Of the logarithms, as of all times: a row that waits for the host may take three times as long in one round as in
    # the next, and an interval of the times themselves would begin below 0.
    logs = np.log(subject.device_ms)
    low, high = np.exp(rounds_interval(logs, 0.05)) if len(logs) > 1 else (None, None)
    return DeviceTime(
        value=float(np.exp(logs.mean())),
        low=low,
        high=high,
        enqueue_share=share,
        launch_bound=share > LAUNCH_BOUND,
    )


def _estimates(
    record: Record, cells: Mapping[str, Cells], measure: MeasureSettings, faults: Faults
) -> dict[str, Estimate]:
    """The speed-ups by subject, each made by itself."""
    found: dict[str, Estimate] = {}
    for subject in record.subjects:
        part = f"the speed-up of {subject.key}"
        found |= faults.contain(part, partial(estimate_ratios, [subject], cells, measure), {})
    return found


def _with_dropped(record: Record, measure: MeasureSettings, faults: Faults) -> dict[str, Estimate]:
    """The ratios with the blocks that hard events had spoilt; none where there were no such blocks."""
    if all(entry.get("dropped") is None for entry in record.latency.telemetry):
        return {}
    cells = cells_by_subject(record.latency, _measured(record), with_dropped=True)
    return _estimates(record, cells, measure, faults)


def _measured(record: Record) -> dict[str, str]:
    """The devices of the rows that count; what one that failed had timed until then counts for nothing."""
    return {subject.key: subject.device for subject in record.subjects if subject.status == "ok"}


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _variant(variant: VariantRecord, results: list[Result]) -> VariantResult:
    return VariantResult(
        name=variant.name,
        status=variant.status,
        reason=variant.reason,
        stages=variant.stages,
        format=variant.format,
        digest=variant.digest,
        size_bytes=variant.size_bytes,
        parameters=variant.parameters,
        macs=variant.macs,
        results=results,
        weight_bytes=variant.weight_bytes,
        activation_bytes=variant.activation_bytes,
        model_sha256=variant.model_sha256,
    )
