"""The four factors as the tables and sentences that the terminal, report.md and report.html share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pipeline import numbers as show
from pipeline.factor_results import Axis, Elasticity, Factors, Level
from pipeline.intervals import Ratio

TITLE = "The four factors"
COLUMNS = ("level", "at", "ms per example", "times as fast", "over the level before", "accuracy")
BRIEF_COLUMNS = ("level", "at", "ms per example", "times as fast", "accuracy")
Lines = tuple[str, ...]
_DOUBLES: Mapping[str, str] = {
    "MACs": "the MACs double",
    "parameters": "the parameters double",
    "threads": "the threads double",
    "examples a call": "the batch doubles",
    "input size": "the input doubles in size",
}


def introduction(factors: Factors) -> list[str]:
    """What the section shows: the ranking, how far to trust it, the base row, and what belongs to no axis."""
    base = f"{factors.base_variant} on {factors.base_target}, batch {factors.base_batch_size}"
    lines = [factors.summary]
    if factors.caution:
        lines.insert(0, factors.caution)
    lines.append(f"Every row differs from the base row ({base}) in one thing; times are those of one example.")
    if factors.mixed:
        lines.append(f"Left out, as they differ in more than one thing: {', '.join(factors.mixed)}.")
    return lines


def axis_title(axis: Axis) -> str:
    """``architecture: pruning``."""
    return f"{axis.factor}: {axis.name}"


def axis_sentence(axis: Axis) -> str:
    """What doubling does, and where it stops paying; empty for an axis without order."""
    sentences = []
    if axis.elasticity is not None:
        doubles = _DOUBLES.get(axis.unit or "", f"{axis.unit} doubles")
        sentences.append(f"When {doubles}, an example takes {_doubling(axis.elasticity)}.")
    if axis.unit is not None:
        sentences.append(_paying(axis))
    return " ".join(sentence for sentence in sentences if sentence)


def cells(axis: Axis, *, brief: bool = False) -> list[list[Lines]]:
    """The lines of every cell, a row a level, in the order of ``COLUMNS`` or ``BRIEF_COLUMNS``."""
    rows = []
    for level in axis.levels:
        row: list[Lines] = [
            (level.label,) if level.gain is not None else (level.label, "base row"),
            _at(axis, level),
            (show.number(level.time_ms),),
            _gain(level.gain),
        ]
        if not brief:
            row.append(_gain(level.step))
        rows.append([*row, _accuracy(level)])
    return rows


def gain_text(gain: Ratio) -> str:
    """``1.64x [1.63, 1.67]``."""
    return show.ratio(gain.value, gain.low, gain.high if math.isfinite(gain.high) else None)


def _gain(gain: Ratio | None) -> Lines:
    return () if gain is None else (gain_text(gain),)


def _doubling(elasticity: Elasticity) -> str:
    found = elasticity.doubling
    return f"{show.number(found.value, 2)} times as long {_interval(found)}"


def _interval(gain: Ratio) -> str:
    high = show.number(gain.high, 2) if math.isfinite(gain.high) else show.INFINITE
    return f"[{show.number(gain.low, 2)}, {high}]"


def _paying(axis: Axis) -> str:
    if axis.levels[-1].gain is None:
        return ""  # no level lies beyond the base row
    if axis.stops_paying is None:
        return "Every step that was tried pays."
    base = next(level.label for level in axis.levels if level.gain is None)
    if axis.stops_paying == base:
        return "The first step does not pay: it is not 2 % faster for sure."
    return f"It pays up to {axis.stops_paying}: the step beyond is not 2 % faster for sure."


def _at(axis: Axis, level: Level) -> Lines:
    if axis.factor == "architecture":
        return _complexity(level)
    if level.x is None:
        return ()
    if axis.unit == "input size":
        return (f"{show.short(level.x)} x the elements",)
    return (f"{level.x:g}",)


def _complexity(level: Level) -> Lines:
    lines = []
    if level.macs is not None:
        lines.append(f"{show.magnitude(level.macs)} MACs")
    if level.parameters is not None:
        lines.append(f"{show.magnitude(level.parameters)} parameters")
    return tuple(lines)


def _accuracy(level: Level) -> Lines:
    parts: Sequence[str | None] = (
        None if level.accuracy is None else show.figure(level.accuracy, level.accuracy_unit),
        level.accuracy_verdict,
        level.note,
    )
    return tuple(part for part in parts if part)
