"""The whole call of each row: the share of each step, and how much faster the call is than the reference's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.analyse.speed import reference_of
from pipeline.errors.contained import Faults
from pipeline.plan import CallStep, MeasureSettings
from pipeline.results.figures import StepTime, WholeCall
from pipeline.results.intervals import Ratio
from pipeline.results.record import CallSamples, Record, SubjectRecord, subject_key
from pipeline.results.report import Result
from pipeline.statistics.latency import paired_ratio

_ALPHA = 0.05
_LEAST_MS = 1e-9
"""A step counts this much at least: its logarithm has to be finite."""
Times = NDArray[np.float64]
"""Milliseconds of each block."""


def with_whole_calls(record: Record, rows: Mapping[str, list[Result]], faults: Faults) -> dict[str, list[Result]]:
    """The rows by variant; each row whose whole call was timed has it."""
    subjects = {subject.key: subject for subject in record.subjects if subject.status == "ok"}
    timed = {key: subject.call for key, subject in subjects.items() if subject.call is not None}

    def marked(key: str, row: Result) -> Result:
        if key not in timed:
            return row
        return replace(row, call=_whole_call(subjects[key], timed, record.measure))

    def contained(variant: str, row: Result) -> Result:
        key = subject_key(variant, row.target, row.batch_size)
        return faults.contain(f"the whole call of {key}", lambda: marked(key, row), row)

    return {name: [contained(name, row) for row in found] for name, found in rows.items()}


def _whole_call(subject: SubjectRecord, timed: Mapping[str, CallSamples], measure: MeasureSettings) -> WholeCall:
    own, against = timed[subject.key], reference_of(subject, measure)
    key = subject_key(against.variant, against.target, against.batch_size)
    other = None if key == subject.key else timed.get(key)
    whole = _whole(own)
    return WholeCall(
        ms=_median(whole),
        steps=[_step(own, step, whole) for step in own.steps],
        reference=against,
        speedup=None if other is None else _ratio(_whole(other), whole),
        model_speedup=None if other is None else _ratio(_of_step(other, "model"), _of_step(own, "model")),
    )


def _step(samples: CallSamples, step: CallStep, whole: Sequence[Times]) -> StepTime:
    own = _of_step(samples, step)
    return StepTime(step=step, ms=_median(own), share=_ratio(own, whole))


def _of_step(samples: CallSamples, step: CallStep) -> list[Times]:
    place = samples.steps.index(step)
    return [np.maximum(np.array(blocks)[:, place], _LEAST_MS) for blocks in samples.rounds_ms]


def _whole(samples: CallSamples) -> list[Times]:
    return [np.array(blocks).sum(axis=1) for blocks in samples.rounds_ms]


def _ratio(first: Sequence[Times], second: Sequence[Times]) -> Ratio:
    """The first over the second, paired by blocks."""
    found = paired_ratio([np.log(one / other) for one, other in zip(first, second, strict=True)], _ALPHA)
    return Ratio(value=found.value, low=found.low, high=found.high)


def _median(times: Sequence[Times]) -> float:
    return float(np.median(np.concatenate(times)))
