"""Labels of a few examples that would decide what agreement with the baseline does not."""

from __future__ import annotations

from pipeline.report.sections.section import Part, Section, lines
from pipeline.report.to_label import FILE, FOLDER, LABEL, rows_to_label
from pipeline.results import numbers as show
from pipeline.results.report import Report

TITLE = "Labels that would decide"
NOTE = (
    "Where two models give the same answer, both are right or both are wrong. So the change of accuracy needs labels "
    f"only of the examples that they answer differently. {FILE} in the run's folder has these examples, in random "
    f"order; the folder {FOLDER} beside it shows those that are no texts. Type the number of the class into the column "
    f"{LABEL}, or its name where the data names its classes, from the top on, as many as you like, and leave out what "
    "you can't tell. Then the report is derived anew:"
)
COMMAND = f"python -m pipeline report outputs/latest --labels outputs/latest/{FILE}"


def to_label(report: Report) -> Section | None:
    """How many labels would decide each row, and how to give them; the terminal has the same in lines."""
    told = [
        f"about {show.count(found.labels_to_decide or 0)} for {variant} on {target}, which answers "
        f"{show.count(found.flips or 0)} of {show.count(found.n)} examples differently"
        for (variant, target), found in rows_to_label(report).items()
    ]
    if not told:
        return None
    brief = Part(lines=lines([f"{TITLE}: {'; '.join(told)}. Type them into {FILE}, then: {COMMAND}"]))
    parts = [Part(code=COMMAND), Part(lines=lines(f"{one[0].upper()}{one[1:]}." for one in told))]
    return Section(title=TITLE, notes=[NOTE], parts=parts, brief=[brief])
