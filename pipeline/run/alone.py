"""Runs each row in a process of its own: memory, energy, its profile, MLPerf's scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline.artifact.onnx_graph import fixed_batch_of
from pipeline.data.batches import Arrays, Feed, axes_of
from pipeline.errors import WorkerFailed, reasoned
from pipeline.measure.group import Subject
from pipeline.measure.loadgen.scenario import Ask, run_scenario, written
from pipeline.measure.solo import run_alone
from pipeline.measure.workers.start import each_alone
from pipeline.measure.workers.worker import Job
from pipeline.plan import Plan
from pipeline.results.record import Energy
from pipeline.run.progress import ProgressDisplay
from pipeline.run.table import Table


def run_each_alone(plan: Plan, table: Table, feeds: Mapping[int, Feed], display: ProgressDisplay) -> None:
    """Measure memory, energy and the profile of each row by itself. Every row is profiled, because only the comparison
    tells which are to be explained."""
    subjects = table.subjects()
    profiled = plan.measure.explain != "none"
    label = "each row alone"
    jobs = {subject.key: _job(plan, subject, feeds) for subject in subjects}
    if jobs:
        display.step(label, 0.0, "starting")
    with closing(each_alone(jobs)) as workers:
        for index, (subject, (key, worker)) in enumerate(zip(subjects, workers, strict=True)):
            display.step(label, index / len(subjects), key)
            with reasoned(partial(table.fail, key)):
                if isinstance(worker, WorkerFailed):
                    raise worker
                found = run_alone(
                    worker, jobs[key], subject.batch_size, energy_s=plan.measure.energy_s, profiled=profiled
                )
                table.records[key] = replace(
                    table.records[key],
                    peak_memory_bytes=found.peak.host,
                    peak_device_memory_bytes=found.peak.device,
                    energy=Energy(**found.energy),
                    profile=found.profile,
                    settling=found.settling,
                )
    if subjects:
        energies = [table.records[subject.key].energy for subject in subjects]
        measured = sum(energy is not None and energy.reason is None for energy in energies)
        energy = "energy" if measured == len(subjects) else f"energy of {measured}, the report says why"
        what = ", ".join(["memory", *(["profile"] if profiled else []), energy])
        display.step(label, 1.0, f"{len(subjects)} rows, a fresh process each: {what}")


def run_scenarios(
    plan: Plan, table: Table, inputs: Arrays, feeds: Mapping[int, Feed], display: ProgressDisplay
) -> None:
    """Run MLPerf's scenarios, where they were asked for; a failure there is the scenario's reason, not the row's."""
    settings = plan.measure
    subjects = table.subjects()
    todo = [(subject, name) for subject in subjects for name in settings.scenarios]
    if not todo:
        return
    label = "MLPerf scenarios"
    with written(inputs) as examples:
        for index, (subject, name) in enumerate(todo):
            display.step(label, index / len(todo), f"{subject.key} {name}")
            record = table.records[subject.key]
            folder = Path("loadgen", f"{record.variant}@{record.target}-{record.batch_size}", name)
            ask = Ask(
                scenario=name,
                duration_s=settings.scenario_s,
                seed=plan.seed,
                server_qps=settings.server_qps,
                server_latency_ms=settings.server_latency_ms,
            )
            fixed = fixed_batch_of(subject.artifact, axes_of(inputs)) is not None
            found = run_scenario(
                _job(plan, subject, feeds), subject.batch_size, fixed, ask, examples, plan.output / folder
            )
            table.records[subject.key] = replace(
                record, scenarios=[*record.scenarios, {**found, "logs": folder.as_posix()}]
            )
    display.step(label, 1.0, f"{len(todo)} runs of LoadGen, a fresh process each")


def _job(plan: Plan, subject: Subject, feeds: Mapping[int, Feed]) -> Job:
    return Job(
        artifact=subject.artifact,
        target=subject.target,
        feed=feeds[subject.batch_size],
        limit_s=plan.limits.seconds,
    )
