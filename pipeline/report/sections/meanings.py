"""What the verdicts of the report mean."""

from __future__ import annotations

from pipeline.report import describe
from pipeline.report.rows import groups
from pipeline.report.sections.section import Facts, Part, Section
from pipeline.report.verdicts import meanings_in
from pipeline.results import Report


def meanings(report: Report) -> Section:
    """Each verdict that the report uses; all of them where it uses none."""
    words = describe.verdict_words([row for group in groups(report) for row in group.rows])
    pairs = [(word, f"{text}.") for word, text in meanings_in(words).items()]
    return Section(title="How to read a verdict", parts=[Part(facts=[Facts(pairs=pairs)])])
