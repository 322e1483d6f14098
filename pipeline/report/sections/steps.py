"""What each step of a chain contributes: a table a row, for every format alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline import numbers as show
from pipeline.intervals import Ratio, Unit
from pipeline.report.rows import all_rows
from pipeline.results import Change, Report, Step

TITLE = "Step by step"
NOTE = (
    "What each step of a chain changes against the step before it, the first one against the baseline: the speed in "
    "the rounds that both were timed in, the accuracy on the same examples. In brackets: 95 % intervals, each its own. "
    "Speed-ups multiply and changes of accuracy add up to the chain's."
)
HEADINGS = ("step", "row", "speed-up", "change of accuracy")
WORDS = 2
"""So many of the first columns are words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """One row's steps."""

    title: str
    rows: list[tuple[str, ...]]
    """A cell for each of ``HEADINGS``."""


def stepped(report: Report) -> list[Stepped]:
    """The rows whose chains have steps, in the report's order, less those that are a step of another row's."""
    found = [(row.variant.name, row.result) for row in all_rows(report) if row.result is not None and row.result.steps]
    inside = {(step.variant, result.target, result.batch_size) for _, result in found for step in result.steps[:-1]}
    return [
        Stepped(
            title=f"{name} on {result.target}, batch {result.batch_size}",
            rows=[_cells(step, result.accuracy.unit if result.accuracy else "percent") for step in result.steps],
        )
        for name, result in found
        if (name, result.target, result.batch_size) not in inside
    ]


def brief(report: Report) -> list[str]:
    """A line for each of them, for the terminal."""
    return [
        f"Step by step, {entry.title}: "
        + "; ".join(f"{stages} {speed}, {change}" for stages, _, speed, change in entry.rows)
        + "."
        for entry in stepped(report)
    ]


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
