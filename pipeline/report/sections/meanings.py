"""What the verdicts of the report mean, and the words of its measuring."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.report import describe
from pipeline.report.rows import groups
from pipeline.report.sections.section import Facts, Part, Section
from pipeline.report.verdicts import meanings_in
from pipeline.results.report import Report

WORDS: Mapping[str, str] = {
    "row": "a variant on a target at a batch size",
    "reference": "the row that another row is compared with: the baseline on the same target at the same batch size, "
    "unless measure.reference names another",
    "clone": "a hidden second copy of a reference: its true ratio is 1, so what it shows is noise",
    "round": "a fresh process for each row, which loads the model and warms it up, then some blocks",
    "block": "one visit to every process of the round, in random order; ratios are taken within a block",
    "cell": "one row's visit in one block: its value is the log of its median call",
    "look": "a check of the intervals' widths after a fixed number of rounds: it decides whether measuring goes on",
}
"""The words of the measuring, as docs/measurement.md has them."""


def meanings(report: Report) -> Section:
    """Each verdict that the report uses, all of them where it uses none; and the words."""
    verdicts = meanings_in(describe.verdict_words([row for group in groups(report) for row in group.rows]))
    facts = [Facts(pairs=_pairs(verdicts)), Facts(title="Words", pairs=_pairs(WORDS))]
    return Section(title="How to read a verdict", parts=[Part(facts=facts)], folded=True)


def _pairs(meanings: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(word, f"{text}.") for word, text in meanings.items()]
