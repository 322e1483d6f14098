"""The earlier runs in a folder that a new run is held against: the last green ones.

A run is green where it is whole, no row that was asked for failed, and no gate has said anything but KEPT of it. A gate
leaves its outcome in ``gate.json`` in the run's folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pipeline.compare.differences import same_machine
from pipeline.compare.runs import Run
from pipeline.errors import UserError
from pipeline.folders.writing import write_whole
from pipeline.report.formats.json import plain
from pipeline.results.comparison import GateResult
from pipeline.results.record import RECORD_FILE, SAMPLES, UNFINISHED, Record

GATE_FILE = "gate.json"
_SHOWN = 5


def keep_outcome(run: Path, gate: GateResult) -> None:
    """Leave the gate's outcome in the run's folder."""
    write_whole(run / GATE_FILE, json.dumps(plain(gate), indent=1, allow_nan=False) + "\n")


def last_green(folder: Path, after: Run, most: int) -> list[Run]:
    """The last green runs in a folder, at most so many, the latest first; ``after`` itself is none of them.

    Runs of the same model and data count, and only those of a like machine where there is one. Raises UserError where
    there is none, with why each was left out.
    """
    if not folder.is_dir():
        raise UserError(f"--against {folder}: there is no such folder (looked in {Path.cwd()})")
    green: list[Run] = []
    reasons: list[str] = []
    for run in _newest_first(folder, after, reasons):
        reason = _why_not(run, after.record)
        if reason is None:
            green.append(run)
        else:
            reasons.append(f"{run.folder}: {reason}")
    if not green:
        told = "; ".join(reasons[:_SHOWN]) or "it has no runs beside this one"
        raise UserError(f"--against {folder}: no earlier run to compare with: {told}")
    alike = [run for run in green if same_machine(run.record.machine, after.record.machine)]
    return (alike or green[:1])[:most]


def _newest_first(folder: Path, after: Run, reasons: list[str]) -> list[Run]:
    own = after.folder.resolve()
    folders = {path.parent.parent.resolve() for path in folder.rglob(f"{SAMPLES}/{RECORD_FILE}")} - {own}
    return sorted(_readable(sorted(folders), reasons), key=lambda run: _when(run.record), reverse=True)


def _readable(folders: list[Path], reasons: list[str]) -> Iterator[Run]:
    for folder in folders:
        try:
            yield Run.read(folder)
        except UserError as error:
            reasons.append(str(error))


def _when(record: Record) -> float:
    try:
        return datetime.fromisoformat(record.created).timestamp()
    except ValueError:
        return 0.0


def _why_not(run: Run, after: Record) -> str | None:
    """Why a run is not held against the new one; None: it is green."""
    record = run.record
    if (record.model, record.data) != (after.model, after.data):
        return f"it is of {record.model} on {record.data}"
    if _when(record) > _when(after):
        return "it is newer"
    if UNFINISHED in record.notes:
        return UNFINISHED
    failed = [row.key for row in record.subjects if row.status == "failed" and row.asked]
    if failed:
        return f"{failed[0]} failed"
    return _gated(run.folder / GATE_FILE)


def _gated(path: Path) -> str | None:
    if not path.exists():
        return None
    try:
        outcome = json.loads(path.read_text(encoding="utf-8"))["outcome"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{path} can't be read"
    return None if outcome == "KEPT" else f"the gate said {outcome}"
