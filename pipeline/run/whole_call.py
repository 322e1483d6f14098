"""Times the steps of a whole call in every row, where that is asked for (``measure.stages``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.data.batches import Feed
from pipeline.data.dataset import preprocess
from pipeline.data.making import Making, making_of
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import reasoned
from pipeline.measure.outputs import OutputAxes, by_example
from pipeline.measure.whole_call import CallTimes, time_calls
from pipeline.measure.workers.call import STEPS, Call
from pipeline.measure.workers.worker import Job
from pipeline.metrics.postprocessed import Postprocessed
from pipeline.plan import CallStep, Plan
from pipeline.results.record import CallSamples
from pipeline.run.progress import ProgressDisplay
from pipeline.run.table import Table

_LABEL = "whole call"


def time_whole_calls(
    plan: Plan, table: Table, feeds: Mapping[int, Feed], display: ProgressDisplay, axes: OutputAxes | None
) -> None:
    """Add the times of the steps to each row; one in which they can't be timed gets a remark with the reason.

    ``axes`` says where the models' outputs have the examples.
    """
    if not plan.measure.stages:
        return
    made = making_of(plan.data, "test")
    steps = [step for step in STEPS if step in plan.measure.stages and step in _done(plan, made)]
    for device in table.devices():
        subjects = table.subjects(device)
        jobs = {
            subject.key: Job(
                artifact=subject.artifact,
                target=subject.target,
                feed=feeds[subject.batch_size],
                limit_s=plan.limits.seconds,
                call=_call(plan, made, axes, subject.batch_size),
            )
            for subject in subjects
        }
        found = _timed(plan, jobs, display)
        for key, rounds in found.rounds.items():
            table.records[key] = replace(table.records[key], call=_samples(rounds, steps))
        for key, reason in found.failures.items():
            table.remark(key, f"the steps of the whole call were not timed: {reason}")
    display.step(_LABEL, 1.0, f"{', '.join(steps)} of each row")


def _timed(plan: Plan, jobs: Mapping[str, Job], display: ProgressDisplay) -> CallTimes:
    def show(done: float) -> None:
        display.step(_LABEL, min(done, 0.999), "the steps around the model")

    reasons: list[str] = []
    with reasoned(lambda error: reasons.append(str(error))):
        return time_calls(jobs, plan.measure, plan.seed, show)
    return CallTimes(failures=dict.fromkeys(jobs, reasons[0]))


def _done(plan: Plan, made: Making) -> set[CallStep]:
    """The steps in which anything is done."""
    prepares = made.from_source or not all(own.is_identity for own in plan.model.preprocessing.values())
    there: Mapping[CallStep, bool] = {
        "decode": made.decode is not None,
        "preprocess": prepares,
        "model": True,
        "postprocess": isinstance(plan.metric, Postprocessed),
    }
    return {step for step, done in there.items() if done}


def _call(plan: Plan, made: Making, axes: OutputAxes | None, size: int) -> Call:
    metric = plan.metric
    return Call(
        sources=made.sources,
        decode=made.decode,
        prepare=_Prepare(prepare=made.prepare, preprocessing=plan.model.preprocessing),
        finish=_Finish(metric=metric, axes=axes, size=size) if isinstance(metric, Postprocessed) else None,
        size=size,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepare:
    """From what is decoded to what the model reads."""

    prepare: Callable[[Any], Feed]
    preprocessing: Mapping[str, Preprocessing]

    def __call__(self, decoded: Any) -> Feed:
        return preprocess(self.prepare(decoded), self.preprocessing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finish:
    """From the model's outputs to what the metric reads."""

    metric: Postprocessed
    axes: OutputAxes | None
    size: int

    def __call__(self, raw: Sequence[Any]) -> object:
        moved = by_example(raw, self.axes, self.size)
        return self.metric.processed([own if first is None else first for own, first in zip(raw, moved, strict=True)])


def _samples(rounds: Sequence[Sequence[Sequence[float]]], steps: Sequence[CallStep]) -> CallSamples:
    places = [STEPS.index(step) for step in steps]
    chosen = [[[block[place] for place in places] for block in blocks] for blocks in rounds]
    return CallSamples(steps=list(steps), rounds_ms=chosen)
