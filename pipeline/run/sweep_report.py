"""Reports the jobs of a sweep, on demand and at the end of the sweep itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from pipeline.errors import UserError, reporting_disk
from pipeline.report.formats.printing import tell
from pipeline.run.loop import say_faults
from pipeline.run.progress import ProgressDisplay
from pipeline.sweep import outcome
from pipeline.sweep.assemble import assembled
from pipeline.sweep.found import AskedJobs, Job, job_folders, jobs_in
from pipeline.sweep.write import NAME, print_sweep, write_sweep


def report_sweep(folder: Path, asked: AskedJobs, overrides: Mapping[Path, tuple[str, ...]], console: Console) -> int:
    """Derive each job's report from its samples, and make one of all; returns 1 where a part could not be made, else 0.

    ``overrides`` has those of each job's folder. Raises UserError where no job has begun.
    """
    if not overrides:
        raise UserError(f"{folder} is a sweep none of whose jobs has begun: there is nothing to report yet")
    with reporting_disk(folder):
        found = assembled(folder, asked, list(_derived(folder, asked, overrides, console)))
        faults = write_sweep(found, folder)
        print_sweep(found, console)
    say_faults(faults, console)
    tell(console, f"Report: {folder / f'{NAME}.html'}")
    return 1 if faults or found.faults else 0


def worst_code(folder: Path) -> int:
    """The worst exit code of a sweep's jobs; 1 for a job that was ended before it could say its own."""
    outcomes = [outcome.read(job) for job in job_folders(folder)]
    return max((1 if one is None or one.exit_code is None else one.exit_code for one in outcomes), default=0)


def _derived(
    folder: Path, asked: AskedJobs, overrides: Mapping[Path, tuple[str, ...]], console: Console
) -> Sequence[Job]:
    """Each job with its report, and a line that tells how far this is."""
    with ProgressDisplay(console) as display:
        return list(_shown(jobs_in(folder, asked, overrides), len(overrides), display))


def _shown(jobs: Iterator[Job], begun: int, display: ProgressDisplay) -> Iterator[Job]:
    for number, job in enumerate(jobs):
        yield job
        if number + 1 < begun:
            display.step("deriving the jobs' reports", (number + 1) / begun, job.name)
