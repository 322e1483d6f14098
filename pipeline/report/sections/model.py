"""The model as it came in."""

from __future__ import annotations

from pipeline.report import describe
from pipeline.report.sections.section import Part, Section, lines
from pipeline.results.report import Report


def model(report: Report) -> Section | None:
    """The changes to the model when it came in, and its oddities."""
    notes = describe.model_lines(report)
    return Section(title="The model as it came in", parts=[Part(lines=lines(notes))], folded=True) if notes else None
