"""Measures every row of a run: latency, memory, accuracy. A failure becomes the row's reason, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.data.batches import Arrays, alone, batch_of
from pipeline.data.dataset import Split, prepared
from pipeline.data.steps import carry_in
from pipeline.errors import Skipped, reasoned
from pipeline.measure.exclusive import measuring
from pipeline.measure.outputs import OutputAxes
from pipeline.plan import Plan
from pipeline.results.header import Peaks
from pipeline.results.record import AccuracySamples, LatencySamples, SubjectRecord
from pipeline.run.accuracy import evaluate_all, samples_of
from pipeline.run.alone import run_each_alone, run_scenarios
from pipeline.run.built import Built
from pipeline.run.carrying import latest_first
from pipeline.run.progress import ProgressDisplay
from pipeline.run.rows import rows
from pipeline.run.speed import measure_all_peaks, time_rows
from pipeline.run.table import Table
from pipeline.run.whole_call import time_whole_calls


@dataclass(frozen=True, slots=True)
class Measured:
    """The records that measuring a run has made."""

    subjects: list[SubjectRecord]
    latency: LatencySamples
    accuracy: AccuracySamples
    peaks: dict[str, Peaks]
    """What each target's device can do at best."""


def measure(
    plan: Plan,
    built: Mapping[str, Built],
    test: Split,
    display: ProgressDisplay,
    output_axes: OutputAxes | None = None,
    keep: Callable[[Measured], object] = lambda _: None,
) -> Measured:
    """Measure every row that can be measured here; every other row keeps the reason why it was not.

    ``output_axes`` says where the models' outputs have the examples. ``keep`` is handed what was timed before anything
    else is asked of the models. Other runs on the machine wait meanwhile with their timing; they also wait for
    accuracy, which takes every core.
    """
    with measuring(plan.measure.exclusive) as beside:
        measured = _measure(plan, built, test, display, output_axes, keep)
    return replace(measured, latency=replace(measured.latency, beside=beside))


def _measure(
    plan: Plan,
    built: Mapping[str, Built],
    test: Split,
    display: ProgressDisplay,
    output_axes: OutputAxes | None,
    keep: Callable[[Measured], object],
) -> Measured:
    inputs = prepared(test.inputs, plan.model.preprocessing)
    timed = latest_first(inputs, carry_in(plan.data))
    feeds = {size: batch_of(timed, size) for size in plan.batch_sizes}
    table = Table(rows(plan, built))
    _one_by_one(table, inputs)
    run_each_alone(plan, table, feeds, display)
    devices = table.devices()  # those with rows that could be run
    latency: list[LatencySamples] = []
    for device in devices:
        with reasoned(partial(table.fail_all, table.subjects(device))):
            latency.append(time_rows(plan, device, len(devices), table, timed, feeds, display))
    keep(Measured(list(table.records.values()), LatencySamples.concatenate(latency), samples_of(plan), {}))
    peaks = measure_all_peaks(table, display) if plan.measure.peaks else {}
    run_scenarios(plan, table, timed, feeds, display)
    time_whole_calls(plan, table, feeds, display, output_axes)
    with TemporaryDirectory(prefix="slimline-accuracy-") as folder:
        judged = evaluate_all(plan, table, inputs, display, output_axes, Path(folder), test.labels)
    return Measured(
        list(table.records.values()),
        LatencySamples.concatenate(latency),
        replace(judged, origins=test.origins if test.labels is None else None, examples=test.digest()),
        peaks,
    )


def _one_by_one(table: Table, inputs: Arrays) -> None:
    """Skip the rows of larger batches where every example needs a call of its own."""
    name = alone(inputs)
    if name is None:
        return
    for key, record in table.records.items():
        if record.status == "ok" and record.batch_size > 1:
            reason = f"one value of input '{name}' serves a whole call, and the examples differ in it: batch_sizes=[1]"
            table.fail(key, Skipped(reason))
