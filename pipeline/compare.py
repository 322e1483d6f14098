"""How a stage measures: its candidates beside a reference, on the plan's first target that runs ONNX on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline.analyse.cells import cells_by_subject, differences_by_round
from pipeline.artifact import Artifact
from pipeline.data.dataset import Feed, batch_of, preprocess
from pipeline.errors import Skipped, StageFailed
from pipeline.measure.environment import describe_machine
from pipeline.measure.latency import Subject, measure_latency
from pipeline.plan import Plan, Speed, Target
from pipeline.record import SubjectRecord
from pipeline.statistics.latency import paired_ratio

REFERENCE = "reference"
ROUNDS = 7
_ALPHA = 0.05
_IDENTITY = ("cpu", "isa", "cores", "kernel", "libraries")


@dataclass(frozen=True, slots=True)
class Compare:
    """``pipeline.plan.Comparison`` for a plan."""

    plan: Plan

    def __call__(self, candidates: Mapping[str, Artifact], reference: Artifact) -> dict[str, Speed]:
        """``ROUNDS`` rounds as the plan's own are; raises Skipped without a target, StageFailed where one fails."""
        target, size = _target(self.plan), self.plan.batch_sizes[0]
        settings = replace(
            self.plan.measure, looks=(ROUNDS,), alpha=_ALPHA, strict=False, half_width=0.0, budget_s=None
        )
        artifacts = {REFERENCE: reference, **candidates}
        records = {
            name: SubjectRecord(
                variant=name, target=target.name, device=target.device, batch_size=size, status="ok", reason=None
            )
            for name in artifacts
        }
        keys = {name: record.key for name, record in records.items()}
        measured = measure_latency(
            [
                Subject(key=keys[name], artifact=artifact, target=target, batch_size=size)
                for name, artifact in artifacts.items()
            ],
            {keys[name]: keys[REFERENCE] for name in candidates},
            [],
            {size: _feed(self.plan, size)},
            settings,
            self.plan.seed,
        )
        for key, reason in measured.failures.items():
            raise StageFailed(f"{key} could not be timed: {reason}")
        cells = cells_by_subject(measured.samples, list(records.values()))
        found = {}
        for name in candidates:
            ratio = paired_ratio(differences_by_round(cells[keys[name]], cells[keys[REFERENCE]]), _ALPHA)
            found[name] = Speed(value=ratio.value, low=ratio.low, high=ratio.high)
        return found


def fingerprint(plan: Plan) -> dict[str, Any]:
    """The machine and the target that a choice is measured on: plain values for a cache key."""
    machine = describe_machine()
    identity = {name: machine[name] for name in _IDENTITY}
    with suppress(Skipped):
        target = _target(plan)
        return {**identity, "target": asdict(target), "batch_size": plan.batch_sizes[0]}
    return {**identity, "target": None}


def _target(plan: Plan) -> Target:
    for target in plan.targets.values():
        if target.device == "cpu" and target.backend.runs == "onnx":
            with suppress(Skipped):
                target.backend.check(target)
                return target
    raise Skipped("nothing here can be timed: select a target that runs ONNX on the CPU, such as target=[ort_cpu]")


def _feed(plan: Plan, size: int) -> Feed:
    """Examples of the calibration split; the test split decides nothing."""
    return batch_of(preprocess(plan.data.split("calibration").inputs, plan.model.preprocessing), size)
