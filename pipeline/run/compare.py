"""A stage's measuring: it times its candidates beside a reference, on the plan's first target that runs ONNX on the
CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.analyse.cells import Cells, cells_by_subject, differences_by_round
from pipeline.artifact import Artifact
from pipeline.data.batches import Feed, batch_of
from pipeline.data.dataset import prepared
from pipeline.errors import Skipped, StageFailed
from pipeline.machine.environment import describe_machine
from pipeline.measure.group import Subject
from pipeline.measure.latency import measure_latency
from pipeline.plan import MeasureSettings, Plan, Speed, Target, unavailable
from pipeline.results.record import subject_key
from pipeline.statistics.latency import paired_ratio

REFERENCE = "reference"
ROUNDS = 7
_ALPHA = 0.05
_IDENTITY = ("cpu", "isa", "cores", "kernel", "libraries")


@dataclass(frozen=True, slots=True)
class Compare:
    """The ``pipeline.plan.Comparison`` of a plan."""

    plan: Plan

    def __call__(self, candidates: Mapping[str, Artifact], reference: Artifact) -> dict[str, Speed]:
        """Time candidates beside a reference, as ``compare`` does; raises Skipped without a target, StageFailed where
        one can't be timed."""
        target, size = _target(self.plan), self.plan.batch_sizes[0]

        def subject(name: str, artifact: Artifact) -> Subject:
            return Subject(key=subject_key(name, target.name, size), artifact=artifact, target=target, batch_size=size)

        other = subject(REFERENCE, reference)
        pairs = {name: (subject(name, artifact), other) for name, artifact in candidates.items()}
        feeds = {size: _feed(self.plan, size)}
        settings = replace(self.plan.measure, budget_s=None)
        outcomes = compare(list(pairs.values()), feeds, settings, self.plan.seed)
        found = {}
        for name, (mine, _) in pairs.items():
            outcome = outcomes[mine.key]
            if isinstance(outcome, str):
                raise StageFailed(f"{mine.key} could not be timed: {outcome}")
            found[name] = outcome
        return found


def compare(
    pairs: Sequence[tuple[Subject, Subject]], feeds: Mapping[int, Feed], settings: MeasureSettings, seed: int
) -> dict[str, Speed | str]:
    """How many times as fast the first of each pair is as the second, by the key of the first; or why that is not
    known.

    All pairs are timed in the same ``ROUNDS`` rounds on one device, as a run's own rows are, within
    ``settings.budget_s``.
    """
    subjects = {subject.key: subject for pair in pairs for subject in pair}
    measured = measure_latency(
        list(subjects.values()),
        {mine.key: other.key for mine, other in pairs},
        [],
        feeds,
        replace(settings, looks=(ROUNDS,), alpha=_ALPHA, strict=False, half_width=0.0),
        seed,
    )
    cells = cells_by_subject(measured.samples, {key: subject.target.device for key, subject in subjects.items()})
    found: dict[str, Speed | str] = {}
    for mine, other in pairs:
        reason = measured.failures.get(mine.key) or measured.failures.get(other.key)
        found[mine.key] = reason or _speed(cells.get(mine.key), cells.get(other.key))
    return found


def _speed(mine: Cells | None, other: Cells | None) -> Speed | str:
    if mine is None or other is None:
        return "every block was disturbed"
    ratio = paired_ratio(differences_by_round(mine, other), _ALPHA)
    return Speed(value=ratio.value, low=ratio.low, high=ratio.high)


def fingerprint(plan: Plan) -> dict[str, Any]:
    """The machine and the target that a choice is measured on, as plain values for a cache key."""
    machine = describe_machine()
    identity = {name: getattr(machine, name) for name in _IDENTITY}
    with suppress(Skipped):
        target = _target(plan)
        return {**identity, "target": asdict(target), "batch_size": plan.batch_sizes[0]}
    return {**identity, "target": None}


def _target(plan: Plan) -> Target:
    for target in plan.targets.values():
        if target.device == "cpu" and "onnx" in target.backend.runs and unavailable(target) is None:
            return target
    raise Skipped("nothing here can be timed: select a target that runs ONNX on the CPU, such as target=[ort_cpu]")


def _feed(plan: Plan, size: int) -> Feed:
    """Examples of the calibration split; the test split decides nothing."""
    return batch_of(prepared(plan.data.split("calibration").inputs, plan.model.preprocessing), size)
