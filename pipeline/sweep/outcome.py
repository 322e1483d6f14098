"""How a job of a sweep ended, in a file of its folder. A launcher may run the job in another process or on another
machine, so its exit code comes back in this file, and the report knows the reason where the job has no samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from pipeline.errors import SlimlineError, first_line, reporting_disk
from pipeline.folders.writing import write_whole

FILE: Final = "job.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended."""

    command: str
    """The command that repeats the job, without its folder."""
    exit_code: int | None = None
    """None: it has not ended, or it was ended before it could say so."""
    reason: str | None = None
    """The reason why it ended before it had a report."""


@contextmanager
def noting(folder: Path, command: str) -> Iterator[list[int]]:
    """Keep in the job's folder how the block ends; the block appends the job's exit code to the list that it gets."""
    outcome, codes = Outcome(command=command), list[int]()
    _write(folder, outcome)
    try:
        yield codes
    except SlimlineError as error:
        _write(folder, replace(outcome, exit_code=error.exit_code, reason=str(error)))
        raise
    except KeyboardInterrupt as error:
        _write(folder, replace(outcome, exit_code=getattr(error, "exit_code", 130), reason="it was stopped"))
        raise
    except Exception as error:
        _write(folder, replace(outcome, exit_code=1, reason=first_line(error)))
        raise
    _write(folder, replace(outcome, exit_code=max(codes, default=0)))


def read(folder: Path) -> Outcome | None:
    """How the job in a folder ended; None where no file tells, or none that can be read."""
    try:
        found: Any = json.loads((folder / FILE).read_bytes())
        outcome = Outcome(**{item.name: found[item.name] for item in fields(Outcome)})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    known = isinstance(outcome.exit_code, int | None) and isinstance(outcome.reason, str | None)
    return outcome if known and isinstance(outcome.command, str) else None


def _write(folder: Path, outcome: Outcome) -> None:
    with reporting_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / FILE, json.dumps(asdict(outcome), indent=1) + "\n")
