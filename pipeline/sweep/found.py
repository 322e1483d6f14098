"""Finds the jobs in a sweep's folder, those that are missing too, and derives each one's report from its samples."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.analyse.beside import report_of
from pipeline.errors import UserError
from pipeline.errors.contained import contained
from pipeline.folders.locks import unused
from pipeline.results.reading import load_run
from pipeline.results.record import RECORD_FILE, SAMPLES
from pipeline.results.report import Report
from pipeline.results.sweep import JobStatus
from pipeline.sweep import outcome

OVERRIDES = Path(".hydra", "overrides.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedJobs:
    """What a sweep was asked for."""

    jobs: Sequence[tuple[str, ...]] | None
    """The overrides of each job in their order; None where the sweeper chooses them as it goes."""
    typed: Sequence[str]
    """The overrides as they were typed, Hydra's own among them."""
    flags: Sequence[str] = ()
    """The flags that every job needs to be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as its folder tells it."""

    name: str
    folder: Path
    overrides: tuple[str, ...]
    command: str
    """The command of the run, without its folder."""
    status: JobStatus
    reason: str | None = None
    exit_code: int | None = None
    report: Report | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The overrides by key."""
        return dict(_parted(override) for override in self.overrides)

    @property
    def repeat(self) -> str:
        """The command that runs the job again, into the same folder."""
        return f"{self.command} {shlex.quote(f'hydra.run.dir={self.folder}')}"


def job_folders(sweep: Path) -> list[Path]:
    """The folders of the jobs that have begun, in the order of their numbers."""
    found = {path.parent.parent for path in sweep.glob(f"**/{OVERRIDES}")}
    return sorted(found, key=lambda folder: (_number(folder.name), str(folder)))


def jobs_in(sweep: Path, asked: AskedJobs, overrides: Mapping[Path, tuple[str, ...]]) -> Iterator[Job]:
    """Every job, the missing ones last; each report is derived when its job is asked for.

    ``overrides`` has those of each job's folder.
    """
    for folder, words in overrides.items():
        yield _job(sweep, folder, words, asked.flags)
    yield from _missing(sweep, asked, list(overrides.values()))


def _job(sweep: Path, folder: Path, overrides: tuple[str, ...], flags: Sequence[str]) -> Job:
    kept = outcome.read(folder)
    name = str(folder.relative_to(sweep))
    command = _command(overrides, flags) if kept is None else kept.command
    code = None if kept is None else kept.exit_code
    status, reason, report = _state(folder, kept)
    return Job(
        name=name,
        folder=folder,
        overrides=tuple(map(_bare, overrides)),
        command=command,
        status=status,
        reason=reason,
        exit_code=code,
        report=report,
    )


def _state(folder: Path, kept: outcome.Outcome | None) -> tuple[JobStatus, str | None, Report | None]:
    """Whether the job has a report, and why not. Samples of a run that is under way may be of an earlier try."""
    if kept is not None and kept.exit_code is None and _in_use(folder):
        return "running", "it is under way", None
    if (folder / SAMPLES / RECORD_FILE).exists():
        found = _derived(folder)
        return ("ok", None, found) if isinstance(found, Report) else ("failed", found, None)
    if kept is None or kept.exit_code is None:
        return "stopped", "it was ended before it could say why", None
    return "failed", kept.reason or f"it ended with exit code {kept.exit_code} and left no samples", None


def _derived(folder: Path) -> Report | str:
    """The job's report, or why it can't be derived: samples that are damaged, or of a class that is gone."""
    try:
        return contained(f"a report of {folder / SAMPLES}", lambda: report_of(load_run(folder), folder), str)
    except UserError as error:
        return str(error)


def _in_use(folder: Path) -> bool:
    with unused(folder) as free:
        return not free


def _missing(sweep: Path, asked: AskedJobs, begun: Sequence[tuple[str, ...]]) -> Iterator[Job]:
    left = Counter(tuple(map(_bare, overrides)) for overrides in begun)
    for number, overrides in enumerate(asked.jobs or ()):
        words = tuple(map(_bare, overrides))
        if left[words]:
            left[words] -= 1
            continue
        yield Job(
            name=str(number),
            folder=sweep / str(number),
            overrides=words,
            command=_command(words, asked.flags),
            status="missing",
            reason="it never began",
        )


def _command(overrides: Sequence[str], flags: Sequence[str]) -> str:
    return shlex.join(["python", "-m", "pipeline", *flags, *map(_bare, overrides)])


def _bare(override: str) -> str:
    return override.removeprefix("++")


def _parted(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def _number(name: str) -> float:
    return int(name) if name.isdecimal() else float("inf")
