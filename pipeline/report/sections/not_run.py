"""The rows that failed or were skipped, and why."""

from __future__ import annotations

from pipeline.report import rows
from pipeline.report.sections.section import Line, Part, Section, lines
from pipeline.results.report import Report


def not_run(report: Report) -> Section:
    """An entry for each reason; the terminal tells in one line what was left out that nobody had asked for."""
    entries = rows.not_run(report)
    left_out = rows.left_out(report)
    asked = [_line(entry) for entry in entries if entry.asked or entry.status == "failed"]
    return Section(
        title="Failed and skipped",
        parts=[Part(lines=[_line(entry) for entry in entries] or lines(["None."]))],
        brief=[Part(lines=[*asked, *lines([left_out] if left_out else [], "quiet")])],
    )


def _line(entry: rows.NotRun) -> Line:
    return Line(text=entry.explained, word=entry.status, tone="bad" if entry.status == "failed" else "neutral")
