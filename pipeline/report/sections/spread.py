"""The charts of speed, latency and size; the table of the results has their figures."""

from __future__ import annotations

from pipeline.report.rows import groups
from pipeline.report.sections.section import Section
from pipeline.results.report import Report

TITLE = "Speed, latency and size"


def spread(report: Report) -> Section | None:
    """The section that only has charts; None where nothing was measured."""
    return Section(title=TITLE) if groups(report) else None
