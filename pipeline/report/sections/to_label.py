"""Labels of a few examples that would decide what agreement with the baseline does not."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.report.rows import all_rows
from pipeline.report.sections.section import Part, Section, lines
from pipeline.report.to_label import FILE, LABEL
from pipeline.results import numbers as show
from pipeline.results.report import Report

TITLE = "Labels that would decide"
NOTE = (
    "Where two models give the same answer, both are right or both are wrong. So the change of accuracy needs labels "
    f"only of the examples that they answer differently. {FILE} in the run's folder has these examples, in random "
    f"order. Type the number of the class into the column {LABEL}, from the top on, as many as you like, and leave out "
    "what you can't tell. Then the report is derived anew:"
)
COMMAND = f"python -m pipeline report outputs/latest --labels outputs/latest/{FILE}"


def to_label(report: Report) -> Section | None:
    """How many labels would decide each row, and how to give them; the terminal has the same in lines."""
    told = list(_told(report))
    if not told:
        return None
    brief = Part(lines=lines([f"{TITLE}: {'; '.join(told)}. Type them into {FILE}, then: {COMMAND}"]))
    return Section(
        title=TITLE,
        notes=[NOTE],
        parts=[Part(code=COMMAND), Part(lines=lines(f"{one[0].upper()}{one[1:]}." for one in told))],
        brief=[brief],
    )


def _told(report: Report) -> Iterator[str]:
    seen = set()
    for row in all_rows(report):
        if row.result is None or row.result.accuracy is None or row.result.accuracy.labels_to_decide is None:
            continue
        accuracy, name = row.result.accuracy, f"{row.variant.name} on {row.result.target}"
        if name in seen:
            continue
        seen.add(name)
        needed = show.count(accuracy.labels_to_decide or 0)
        yield (
            f"about {needed} for {name}, which answers {show.count(accuracy.flips or 0)} of {show.count(accuracy.n)} "
            "examples differently"
        )
