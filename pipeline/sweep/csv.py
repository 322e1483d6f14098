"""sweep.csv: a line for each row of each job; a job without rows has one line with its reason."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from pipeline.report.formats.csv import cell
from pipeline.results.sweep import Sweep, SweepJob, SweepRow

_JOB = ("job", "job_status", "exit_code", "run", "created", "model", "data", "seed", "machine")
_ROW = (
    "variant", "target", "batch_size", "status", "standing", "reason", "recommended", "speedup", "speedup_low",
    "speedup_high", "speedup_verdict", "accuracy_metric", "accuracy", "accuracy_delta", "accuracy_delta_low",
    "accuracy_delta_high", "accuracy_verdict", "p50_ms", "p50_ms_low", "p50_ms_high", "size_bytes", "peak_memory_bytes",
    "digest",
)  # fmt: skip
SETTING = "set:"
"""What begins the name of a column that has a setting of the sweep."""


def csv_text(found: Sweep) -> str:
    """The table: the job, the settings that differ between jobs, the row. A missing value is an empty cell."""
    settings = {key: f"{SETTING}{key}" for key in found.varied}
    out = io.StringIO()
    writer = csv.DictWriter(out, (*_JOB, *settings.values(), *_ROW), lineterminator="\n")
    writer.writeheader()
    for job in found.jobs:
        about = _about(job) | {settings[key]: value for key, value in job.settings.items()}
        for values in _rows(job):
            writer.writerow({name: cell(value) for name, value in (about | values).items()})
    return out.getvalue()


def _about(job: SweepJob) -> dict[str, Any]:
    return {
        "job": job.name,
        "job_status": job.status,
        "exit_code": job.exit_code,
        "run": job.run,
        "created": job.created,
        "model": job.model,
        "data": job.data,
        "seed": job.seed,
        "machine": job.machine,
    }


def _rows(job: SweepJob) -> Iterator[dict[str, Any]]:
    if not job.rows:
        yield {"reason": job.reason}
    for row in job.rows:
        yield _place(row) | _speed(row) | _accuracy(row)


def _place(row: SweepRow) -> dict[str, Any]:
    return {
        "variant": row.variant,
        "target": row.target,
        "batch_size": row.batch_size,
        "status": row.status,
        "standing": row.standing,
        "reason": row.why,
        "recommended": row.standing == "wins",
        "size_bytes": row.size_bytes,
        "peak_memory_bytes": row.peak_memory_bytes,
        "digest": row.digest,
    }


def _speed(row: SweepRow) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if row.speedup is not None:
        speed = row.speedup
        found |= {"speedup": speed.value, "speedup_low": speed.low, "speedup_high": speed.high}
        found |= {"speedup_verdict": speed.verdict}
    if row.p50_ms is not None:
        found |= {"p50_ms": row.p50_ms.value, "p50_ms_low": row.p50_ms.low, "p50_ms_high": row.p50_ms.high}
    return found


def _accuracy(row: SweepRow) -> dict[str, Any]:
    accuracy = row.accuracy
    if accuracy is None:
        return {}
    return {
        "accuracy_metric": accuracy.metric,
        "accuracy": accuracy.value,
        "accuracy_delta": accuracy.delta,
        "accuracy_delta_low": accuracy.delta_low,
        "accuracy_delta_high": accuracy.delta_high,
        "accuracy_verdict": accuracy.verdict,
    }
