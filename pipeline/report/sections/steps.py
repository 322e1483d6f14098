"""What each step of a chain contributes: a table for each row."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.report.rows import all_rows
from pipeline.report.sections.section import Part, Section, grid, lines
from pipeline.results import numbers as show
from pipeline.results.intervals import Ratio, Unit
from pipeline.results.report import Change, Report, Result, Step

TITLE = "Step by step"
NOTE = (
    "What each step of a chain changes against the step before it, the first one against the baseline: the speed in "
    "the rounds that both were timed in, the accuracy on the same examples. In brackets: 95 % intervals, each its own. "
    "Speed-ups multiply and changes of accuracy add up to the chain's."
)
HEADINGS = ("step", "row", "speed-up", "change of accuracy")


def steps(report: Report) -> Section | None:
    """The rows whose chains have steps, in the report's order, less those that are a step of another row's."""
    found = [(row.variant.name, row.result) for row in all_rows(report) if row.result is not None and row.result.steps]
    inside = {(step.variant, result.target, result.batch_size) for _, result in found for step in result.steps[:-1]}
    told = [
        (f"{name} on {result.target}, batch {result.batch_size}", _rows(result))
        for name, result in found
        if (name, result.target, result.batch_size) not in inside
    ]
    if not told:
        return None
    return Section(
        title=TITLE,
        notes=[NOTE],
        parts=[Part(title=title, tables=[grid(HEADINGS, rows, words=2)]) for title, rows in told],
        brief=[Part(lines=lines(_brief(title, rows) for title, rows in told))],
    )


def _brief(title: str, rows: Sequence[Sequence[str]]) -> str:
    contributions = "; ".join(f"{stages} {speed}, {change}" for stages, _, speed, change in rows)
    return f"{TITLE}, {title}: {contributions}."


def _rows(result: Result) -> list[tuple[str, ...]]:
    unit: Unit = result.accuracy.unit if result.accuracy else "percent"
    return [_cells(step, unit) for step in result.steps]


def _cells(step: Step, unit: Unit) -> tuple[str, ...]:
    return " + ".join(step.stages), step.variant, _speedup(step.speedup), _change(step.accuracy, unit)


def _speedup(found: Ratio | None) -> str:
    if found is None:
        return show.NONE
    return show.ratio(found.value, found.low, found.high if math.isfinite(found.high) else None)


def _change(found: Change | None, unit: Unit) -> str:
    if found is None:
        return show.NONE
    return f"{show.change(found.value, unit)} {show.change_interval(found.low, found.high, unit)}"
