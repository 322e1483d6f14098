"""report.csv: every row, measured or not, with raw values; the units are in the headers."""

from __future__ import annotations

import csv
import io
from typing import Any

from pipeline.report.fields import FIELDS
from pipeline.report.rows import all_rows
from pipeline.results.report import Report
from pipeline.terminal.screen import printable

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""And their wide forms, which some programs read alike."""


def csv_text(report: Report) -> str:
    """The rows as CSV; a missing value is an empty cell, and yes and no are ``true`` and ``false``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([header for field in FIELDS for header in field.columns])
    for row in all_rows(report):
        values = [value for field in FIELDS for value in field.values(row)]
        writer.writerow([_cell(value) for value in values])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    text = "; ".join(value) if isinstance(value, list) else value
    return _harmless(text) if isinstance(text, str) else text


def _harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe stands before what would begin one."""
    safe = printable(text)
    return f"'{safe}" if safe.lstrip().startswith(_FORMULA) else safe
