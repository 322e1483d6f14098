"""report.csv: a line for each figure of each row, so that the files of many runs can be put below each other."""

from __future__ import annotations

import csv
import io
from typing import Any

from pipeline.report.rows import Row, all_rows, row_status
from pipeline.report.tidy import Figure, figures_of
from pipeline.results.report import Report
from pipeline.terminal.screen import printable

COLUMNS = (
    "run", "created", "machine", "version", "model", "data", "variant", "target", "device", "batch_size", "status",
    "reason", "recommended", "pareto", "metric", "value", "unit", "low", "high", "verdict", "judged_by", "against",
)  # fmt: skip
"""The run; the row; the figure. ``judged_by`` is the name of the accuracy's metric, and ``against`` is what a speed-up
or an accuracy is compared with."""
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""And their wide forms, which some programs read alike."""


def csv_text(report: Report) -> str:
    """The figures as CSV; a row without any has one line with its reason. A missing value is an empty cell, and yes and
    no are ``true`` and ``false``."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    run = _run(report)
    for row in all_rows(report):
        place = run | _place(row)
        for cells in [_figure(row, figure) for figure in figures_of(row)] or [{}]:
            writer.writerow({name: cell(value) for name, value in (place | cells).items()})
    return out.getvalue()


def _run(report: Report) -> dict[str, Any]:
    return {
        "run": report.run_id,
        "created": report.created,
        "machine": report.machine.cpu,
        "version": report.slimline.get("version"),
        "model": report.model,
        "data": report.data,
    }


def _place(row: Row) -> dict[str, Any]:
    status, reason = row_status(row)
    result = row.result
    found: dict[str, Any] = {
        "variant": row.variant.name,
        "status": status,
        "reason": None if status == "ok" else reason,
        "recommended": row.recommended,
    }
    if result is not None:
        found |= {"target": result.target, "device": result.device, "batch_size": result.batch_size}
        found |= {"pareto": result.pareto}
    return found


def _figure(row: Row, figure: Figure) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "metric": figure.name,
        "value": figure.value,
        "unit": figure.unit,
        "low": figure.low,
        "high": figure.high,
        "verdict": figure.verdict,
    }
    accuracy = None if row.result is None else row.result.accuracy
    speedup = None if row.result is None else row.result.speedup
    if accuracy is not None and figure.name.startswith("accuracy"):
        cells |= {"judged_by": accuracy.metric, "against": accuracy.against}
    if speedup is not None and figure.name.startswith("speedup"):
        against = speedup.reference
        cells |= {"against": f"{against.variant}@{against.target}, batch {against.batch_size}"}
    return cells


def cell(value: Any) -> Any:
    """A value as a cell holds it: yes and no in words, and no text that a spreadsheet takes for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    return _harmless(value) if isinstance(value, str) else value


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe stands before what would begin one."""
    safe = printable(text)
    return f"'{safe}" if safe.lstrip().startswith(_FORMULA) else safe
