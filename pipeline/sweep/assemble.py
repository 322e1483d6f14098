"""From the jobs of a sweep to what its report shows."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.report import describe
from pipeline.results import numbers as show
from pipeline.results.report import Report
from pipeline.results.sweep import JobStatus, Sweep, SweepJob
from pipeline.sweep.chains import chains_of
from pipeline.sweep.found import AskedJobs, Job
from pipeline.sweep.rows import best_of, sweep_rows
from pipeline.sweep.seeds import spreads
from pipeline.sweep.settings import settings_of, varied

_OF_OTHERS: Mapping[JobStatus, str] = {
    "failed": "failed",
    "running": "under way",
    "stopped": "ended without a word",
    "missing": "never began",
}


def assembled(folder: Path, asked: AskedJobs, found: Sequence[Job]) -> Sweep:
    """Everything that the report of these jobs shows."""
    keys = varied(found)
    jobs = [_job(job, keys) for job in found]
    reports = {job.name: job.report for job in found if job.report is not None}
    machines = list(dict.fromkeys(job.machine for job in jobs if job.machine is not None))
    created = [job.created for job in jobs if job.created is not None]
    return Sweep(
        folder=str(folder),
        command=shlex.join(["python", "-m", "pipeline", "--multirun", *asked.flags, *_bare(asked.typed)]),
        created=min(created, default=None),
        asked=None if asked.jobs is None else len(asked.jobs),
        summary=" ".join(_summary(jobs)),
        varied=keys,
        machines=machines,
        notes=list(_notes(jobs, machines)),
        jobs=jobs,
        chains=chains_of(jobs, reports),
        seeds=spreads(jobs),
        faults=[f"job {name}: {fault}" for name, report in reports.items() for fault in report.faults],
        seconds=sum(report.noise.seconds for report in reports.values()),
    )


def _bare(typed: Sequence[str]) -> list[str]:
    return [override.removeprefix("++") for override in typed]


def _job(job: Job, keys: Mapping[str, object]) -> SweepJob:
    settings = settings_of(job, keys)
    if job.report is None:
        return SweepJob(
            name=job.name, settings=settings, status=job.status, reason=job.reason, exit_code=job.exit_code,
            repeat=job.repeat, folder=str(job.folder),
        )  # fmt: skip
    return _measured(job, settings, job.report)


def _measured(job: Job, settings: dict[str, str], report: Report) -> SweepJob:
    rows = sweep_rows(report)
    return SweepJob(
        name=job.name,
        settings=settings,
        status="ok",
        reason=None,
        exit_code=job.exit_code,
        repeat=job.repeat,
        folder=str(job.folder),
        run=report.run_id,
        created=report.created,
        model=report.model,
        data=report.data,
        seed=report.seed,
        machine=describe.machine_line(report.machine),
        best=best_of(report, rows),
        why_none=report.why_none,
        checks=[*report.noise.reasons, *report.noise.busy, *report.noise.beside],
        noisy=report.noise.noisy,
        rows=rows,
    )


def _summary(jobs: Sequence[SweepJob]) -> Iterator[str]:
    """What came out, in two sentences."""
    best = [job.best for job in jobs if job.best is not None and job.best.recommended]
    winners = Counter(f"{one.variant} on {one.target}" for one in best)
    measured = sum(job.status == "ok" for job in jobs)
    others = Counter(job.status for job in jobs if job.status != "ok")
    told = [f"{count} {_OF_OTHERS[status]}" for status, count in others.items()]
    yield f"{measured} of {show.counted(len(jobs), 'job')} measured" + (f", {', '.join(told)}." if told else ".")
    if winners:
        named = "; ".join(f"{name} in {count}" for name, count in winners.most_common())
        yield f"Recommended: {named}."
    if none := measured - len(best):
        yield f"Nothing is recommended in {none}."


def _notes(jobs: Sequence[SweepJob], machines: Sequence[str]) -> Iterator[str]:
    yield (
        "Each job has its own baseline in its own session. Its speed-ups, verdicts and recommendation are those of its "
        "own report"
    )
    if len(machines) > 1:
        yield (
            f"The jobs ran on {len(machines)} machines: milliseconds of different machines tell nothing about the "
            "models, and a speed-up holds for its machine"
        )
    if any(job.noisy for job in jobs):
        yield "Jobs that are NOISY are judged by nothing: run them again when the machine is idle"
    names = [job.name for job in jobs if job.checks and not job.noisy]
    if names:
        yield f"The checks of {show.counted(len(names), 'job')} found something, which stands below"
