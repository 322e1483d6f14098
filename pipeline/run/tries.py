"""Tries the changes that the explanations propose: builds them, and times them beside the row's own reference.

The report tells beside the change what the try brought, and that is all: it is no row of the run and is never
recommended. Only cheap changes are tried: a field of a stage, another stage in its place or none, where that stage and
the stages after it take seconds; another batch size; a target's setting. All tries of a run together take about
``measure.try_s``, half of it at most for building.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from pipeline.data.batches import Arrays, batch_of
from pipeline.data.dataset import Split, prepared
from pipeline.data.steps import carry_in
from pipeline.errors import Skipped, StageFailed, UserError
from pipeline.folders.locks import InUse
from pipeline.measure.group import Subject
from pipeline.measure.schedule import expect
from pipeline.plan import Plan, Speed, Target
from pipeline.results.change import Change
from pipeline.results.explanation import Outcome
from pipeline.results.record import Record, Trial, VariantRecord, subject_key
from pipeline.results.report import Report, Result
from pipeline.run.build import Builder
from pipeline.run.build import builder as making
from pipeline.run.built import Built
from pipeline.run.carrying import latest_first
from pipeline.run.compare import ROUNDS, compare
from pipeline.run.rows import runnable

logger = logging.getLogger(__name__)
LABEL = "proposed changes"
_BUILDING = 0.5
"""The share of the time that building may take."""
_SETUP_S = 1.5
"""About what starting and loading the models of a round takes."""
Step = Callable[[str, float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A change that may be tried: the row that it is proposed for, and the plan as it would be with it."""

    row: Result
    variant: str
    change: Change
    plan: Plan
    seconds: float
    """About the time that building it takes, from the time that building the chain took."""
    replaces: str | None
    """The digest of the row's model, where the change gives another model."""

    @property
    def batch_size(self) -> int:
        """The row's batch size, or the largest one where the change sets the batch sizes."""
        sizes = self.plan.batch_sizes
        return self.row.batch_size if self.row.batch_size == sizes[-1] or len(sizes) == 1 else sizes[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A try that was built: the changed row's model, and its reference's."""

    entry: Try
    row: Subject
    reference: Subject


def are_wanted(plan: Plan) -> bool:
    """Whether changes that the explanations propose are to be tried."""
    return plan.measure.try_s is not None and plan.measure.explain != "none"


def try_changes(plan: Plan, record: Record, report: Report, test: Split, step: Step) -> list[Trial]:
    """Try what the report's explanations propose, the first proposal of each row first, as far as the time goes."""
    if plan.measure.try_s is None:
        return []
    began = time.monotonic()
    wanted = list(proposals(plan, record, report))
    if not wanted:
        return []
    in_use = InUse()  # as long as it lives, what is built stays in the store
    with making(plan, lambda *_: None, in_use) as builder:
        trials, ready = _build(wanted, builder, plan.measure.try_s * _BUILDING, step)
    inputs = latest_first(prepared(test.inputs, plan.model.preprocessing), carry_in(plan.data))
    for device in dict.fromkeys(one.row.target.device for one in ready):
        left_s = plan.measure.try_s - (time.monotonic() - began)
        affordable = _affordable(plan, [one for one in ready if one.row.target.device == device], left_s)
        step(LABEL, _BUILDING, f"timing {len(affordable)}")
        trials += _time(plan, affordable, inputs, left_s) if affordable else []
    step(LABEL, 1.0, f"{len(trials)} tried in {time.monotonic() - began:.0f} s")
    return trials


def proposals(plan: Plan, record: Record, report: Report) -> Iterator[Try]:
    """The changes that can be tried at all, the first one of every row, then the second ones, and so on."""
    records = {variant.name: variant for variant in record.variants}
    by_row: list[list[Try]] = []
    for variant in report.variants:
        for row in variant.results:
            changes = [cause.change for cause in row.explanation.causes] if row.explanation else []
            entries = (
                _proposal(plan, records[variant.name], row, change) for change in dict.fromkeys(changes) if change
            )
            by_row.append([entry for entry in entries if entry is not None])
    for place in range(max(map(len, by_row), default=0)):
        yield from (entries[place] for entries in by_row if len(entries) > place)


def _proposal(plan: Plan, variant: VariantRecord, row: Result, change: Change) -> Try | None:
    try:
        after = change.apply(plan)
    except ValueError as error:
        logger.debug("%s is not tried: %s", change, error)
        return None
    changed_models = {name for name, chain in after.variants.items() if chain != plan.variants[name]}
    if after == plan or row.target not in after.targets or changed_models - {variant.name}:
        return None  # nothing new, or another row's model: what a chain's beginning proposes is set in the whole chain
    return Try(
        row=row,
        variant=variant.name,
        change=change,
        plan=after,
        seconds=_seconds(plan, after, variant),
        replaces=variant.digest if changed_models else None,
    )


def _seconds(before: Plan, after: Plan, variant: VariantRecord) -> float:
    """The time that the chain took from the changed stage on, when it was built."""
    stages = zip_longest(before.variants[variant.name].stages.values(), after.variants[variant.name].stages.values())
    first = next((place for place, (old, new) in enumerate(stages) if old != new), len(variant.stages))
    return sum(stage.seconds for stage in variant.stages[first:])


def _build(wanted: Sequence[Try], builder: Builder, limit_s: float, step: Step) -> tuple[list[Trial], list[Ready]]:
    """The tries that could not be built, with the reason, and the others with the models to time. A try that takes too
    long is left out."""
    failed: list[Trial] = []
    ready: list[Ready] = []
    began = time.monotonic()
    for number, entry in enumerate(wanted):
        if time.monotonic() - began + entry.seconds > limit_s:
            continue
        step(LABEL, _BUILDING * number / len(wanted), str(entry.change))
        try:
            ready.append(_ready(entry, replace(builder, plan=entry.plan), number))
        except (StageFailed, Skipped, UserError) as error:
            failed.append(_trial(entry, str(error)))
    return failed, ready


def _ready(entry: Try, builder: Builder, number: int) -> Ready:
    """The try with the changed row's model and its reference's; raises StageFailed or Skipped where there is none,
    and UserError where the change does not go with another setting."""
    plan, target = entry.plan, entry.plan.targets[entry.row.target]
    target.backend.check(target)
    reference, on = plan.measure.reference_for(target.name)
    changed = _subject(builder, entry.variant, target, entry.batch_size, f"try {number}")
    compared = _subject(builder, reference, plan.targets[on], entry.batch_size, f"reference {number}")
    if changed.artifact.digest == entry.replaces:
        raise Skipped("it makes the very same model")
    return Ready(entry=entry, row=changed, reference=compared)


def _subject(builder: Builder, name: str, target: Target, batch_size: int, label: str) -> Subject:
    variant = builder.plan.variants[name]
    built: Built = builder.build(replace(variant, name=f"{name}, as proposed"))
    if built.record.status != "ok":
        raise StageFailed(str(built.record.reason))
    return Subject(
        key=subject_key(label, target.name, batch_size),
        artifact=runnable(variant, built, target),
        target=target,
        batch_size=batch_size,
    )


def _affordable(plan: Plan, ready: Sequence[Ready], left_s: float) -> Sequence[Ready]:
    """As many of the first tries as can be timed in ``ROUNDS`` rounds in the time that is left."""
    settings = replace(plan.measure, looks=(ROUNDS,))
    for count in range(len(ready) if left_s > 0 else 0, 0, -1):
        calls_ms = {subject.key: _call_ms(one.entry) for one in ready[:count] for subject in (one.row, one.reference)}
        expected = expect(calls_ms, _SETUP_S, settings, left_s)
        if expected.rounds[0] == ROUNDS and expected.seconds[0] <= left_s:
            return ready[:count]
    return []


def _call_ms(entry: Try) -> float:
    """About what a call takes, from the row's own, in proportion to the batch."""
    latency = entry.row.latency_ms
    return (latency.p50.value if latency else 1.0) * entry.batch_size / entry.row.batch_size


def _time(plan: Plan, ready: Sequence[Ready], inputs: Arrays, budget_s: float) -> list[Trial]:
    outcomes = compare(
        [(one.row, one.reference) for one in ready],
        {one.row.batch_size: batch_of(inputs, one.row.batch_size) for one in ready},
        replace(plan.measure, budget_s=budget_s),
        plan.seed,
    )
    return [_trial(one.entry, outcomes[one.row.key]) for one in ready]


def _trial(entry: Try, speed: Speed | str) -> Trial:
    reference, on = entry.plan.measure.reference_for(entry.row.target)
    where = f" on {on}" if on != entry.row.target else ""
    batch = f" at batch {entry.batch_size}" if entry.batch_size != entry.row.batch_size else ""
    outcome = Outcome(variant=None, against=f"{reference}{where}{batch}", value=None, low=None, high=None)
    if isinstance(speed, str):
        outcome = replace(outcome, reason=speed)
    else:
        high = speed.high if math.isfinite(speed.high) else None
        outcome = replace(outcome, value=speed.value, low=speed.low, high=high)
    return Trial(
        subject=subject_key(entry.variant, entry.row.target, entry.row.batch_size),
        change=str(entry.change),
        outcome=outcome,
    )
