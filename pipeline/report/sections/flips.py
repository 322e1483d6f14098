"""Flipped examples: what each row answers differently than the baseline, by class and one by one."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.sections.section import Column, Part, Section, Table, TableRow, grid, lines
from pipeline.results import numbers as show
from pipeline.results.flips import Flip, Flips
from pipeline.results.report import Report

TITLE = "Flipped examples"
NOTE = (
    "A flipped example is one that a row answers differently than the baseline. Gained: only the row is right. Lost: "
    "only the baseline is right. Only these tell the two apart; on all others they are right or wrong together."
)
SURENESS = "In brackets: the probability that each gives its answer."


def flips(report: Report) -> Section | None:
    """A part for each row that flips any example, where the examples have labels."""
    if not report.flips:
        return None
    return Section(title=TITLE, notes=[NOTE], parts=[_part(found) for found in report.flips], folded=True)


def _examples(found: Sequence[Flip]) -> Table:
    columns = [Column(head=head) for head in ("example", "label", "the baseline says", "the row says")]
    rows = [
        TableRow(
            cells=(
                (f"test example {each.example}",),
                (each.label,),
                (_answer(each.before, each.before_sure),),
                (_answer(each.after, each.after_sure),),
            ),
            example=each.example,
        )
        for each in found
    ]
    return Table(columns=tuple(columns), rows=rows)


def _answer(name: str, sure: float | None) -> str:
    """An answer, and how sure the model is of it."""
    return name if sure is None else f"{name} ({100 * sure:.0f} %)"


def _part(found: Flips) -> Part:
    count = found.gained + found.lost + found.wrong_in_both
    told = f"{show.count(found.gained)} gained, {show.count(found.lost)} lost"
    if found.wrong_in_both:
        told += f", {show.count(found.wrong_in_both)} wrong in both and in different ways"
    tables = []
    if found.classes:
        rows = [
            (each.label, show.count(each.gained), show.count(each.lost), show.signed(each.gained - each.lost, 0))
            for each in found.classes
        ]
        tables.append(grid(("class", "gained", "lost", "net"), rows))
    confusions = [(each.label, each.before, each.after, show.count(each.count)) for each in found.confusions]
    tables.append(grid(("label", "the baseline says", "the row says", "examples"), confusions, words=3))
    tables.append(_examples(found.examples))
    first = [f"{told}.", *([SURENESS] if any(each.before_sure is not None for each in found.examples) else [])]
    if count > len(found.examples):
        first.append(f"The last table has {len(found.examples)} of the {show.count(count)} examples, lost ones first.")
    return Part(
        title=f"{found.variant} on {found.target}: {show.count(count)} flipped",
        lines=lines([" ".join(first)]),
        tables=tables,
    )
