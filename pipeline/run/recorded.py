"""Puts a run's record together from what the run has built and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pipeline.libraries.revision import revision
from pipeline.machine.environment import describe_machine
from pipeline.plan import BASELINE, Plan
from pipeline.results.header import TargetRecord
from pipeline.results.record import Record
from pipeline.run.built import Built
from pipeline.run.measure import Measured


def make_record(plan: Plan, built: Mapping[str, Built], measured: Measured, notes: Sequence[str] = ()) -> Record:
    """The record, put together from what the run recorded."""
    return Record(
        command=plan.command,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        model=plan.model.name,
        data=plan.data.name,
        seed=plan.seed,
        machine=describe_machine(),
        constraints=plan.constraints,
        measure=plan.measure,
        targets={
            name: TargetRecord(
                backend=target.backend.name,
                device=target.device,
                threads=target.threads,
                session=dict(target.session),
            )
            for name, target in plan.targets.items()
        },
        batch_sizes=list(plan.batch_sizes),
        grid=plan.grid,
        variants=[item.record for item in built.values()],
        subjects=measured.subjects,
        latency=measured.latency,
        accuracy=measured.accuracy,
        peaks=measured.peaks,
        slimline=revision(),
        class_names=list(plan.data.class_names),
        model_notes=dict(built[BASELINE].model_notes),
        notes=list(notes),
    )
