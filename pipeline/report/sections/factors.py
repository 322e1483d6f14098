"""The four factors: the ranking, and a table of each axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pipeline.report.sections.section import Cell, Column, Line, Part, Section, Table, TableRow, lines
from pipeline.results import numbers as show
from pipeline.results.factors import Axis, Elasticity, Factors, Level
from pipeline.results.intervals import Ratio
from pipeline.results.report import Report

TITLE = "The four factors"
_LEVEL = Column(head="level")
_AT = Column(head="at", align="right")
_TIME = Column(head="ms per example", align="right")
_GAIN = Column(head="times as fast")
_STEP = Column(head="over the level before")
_ACCURACY = Column(head="accuracy", wraps=True)
_BASE = "base row"
_DOUBLES: Mapping[str, str] = {
    "MACs": "the MACs double",
    "parameters": "the parameters double",
    "threads": "the threads double",
    "examples a call": "the batch doubles",
    "input size": "the input doubles in size",
}


def factors(report: Report) -> Section | None:
    """The ranking of what each factor buys, and the levels of every axis."""
    if report.factors is None:
        return None
    said, axes = _introduction(report.factors), report.factors.axes
    return Section(
        title=TITLE,
        parts=[Part(lines=said), *[_axis(axis, _levels(axis)) for axis in axes]],
        brief=[Part(title=TITLE, lines=said), *[_axis(axis, _brief_levels(axis)) for axis in axes]],
    )


def _introduction(found: Factors) -> list[Line]:
    """How far to trust the ranking, the ranking, the base row, and what belongs to no axis."""
    base = f"{found.base_variant} on {found.base_target}, batch {found.base_batch_size}"
    notes = [f"Every row differs from the base row ({base}) in one thing; times are those of one example."]
    if found.mixed:
        notes.append(f"Left out, as they differ in more than one thing: {', '.join(found.mixed)}.")
    caution = [found.caution] if found.caution else []
    return [*lines(caution, "caution"), *lines([found.summary]), *lines(notes, "quiet")]


def _axis(axis: Axis, table: Table) -> Part:
    sentence = axis_sentence(axis)
    return Part(title=axis_title(axis), lines=lines([sentence] if sentence else []), tables=[table])


def axis_title(axis: Axis) -> str:
    """An axis with its factor: ``architecture: pruning``."""
    return f"{axis.factor}: {axis.name}"


def axis_sentence(axis: Axis) -> str:
    """The effect of doubling, and where it stops paying; empty for an axis without order."""
    sentences = []
    if axis.elasticity is not None:
        doubles = _DOUBLES.get(axis.unit or "", f"{axis.unit} doubles")
        sentences.append(f"When {doubles}, an example takes {_doubling(axis.elasticity)}.")
    if axis.unit is not None:
        sentences.append(_paying(axis))
    return " ".join(sentence for sentence in sentences if sentence)


def _levels(axis: Axis) -> Table:
    rows = [
        TableRow(
            cells=(
                (level.label,) if level.gain is not None else (level.label, _BASE),
                _at(axis, level),
                (show.number(level.time_ms),),
                _gain(level.gain),
                _gain(level.step),
                _accuracy(level),
            )
        )
        for level in axis.levels
    ]
    return Table(columns=(_LEVEL, _AT, _TIME, _GAIN, _STEP, _ACCURACY), rows=rows)


def _brief_levels(axis: Axis) -> Table:
    """A line for each level, without what it gains over the one before."""
    rows = [
        TableRow(
            cells=(
                (level.label if level.gain is not None else f"{level.label} ({_BASE})",),
                _joined(_at(axis, level)),
                (show.number(level.time_ms),),
                _gain(level.gain),
                _joined(_accuracy(level)),
            )
        )
        for level in axis.levels
    ]
    return Table(columns=(_LEVEL, _AT, _TIME, _GAIN, _ACCURACY), rows=rows)


def _joined(cell: Cell) -> Cell:
    return (", ".join(cell),) if cell else ()


def gain_text(gain: Ratio) -> str:
    """A gain with its interval: ``1.64x [1.63, 1.67]``."""
    return show.ratio(gain.value, gain.low, gain.high if math.isfinite(gain.high) else None)


def _gain(gain: Ratio | None) -> Cell:
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


def _at(axis: Axis, level: Level) -> Cell:
    if axis.factor == "architecture":
        return _complexity(level)
    if level.x is None:
        return ()
    if axis.unit == "input size":
        return (f"{show.short(level.x)} x the elements",)
    return (f"{level.x:g}",)


def _complexity(level: Level) -> Cell:
    lines = []
    if level.macs is not None:
        lines.append(f"{show.magnitude(level.macs)} MACs")
    if level.parameters is not None:
        lines.append(f"{show.magnitude(level.parameters)} parameters")
    return tuple(lines)


def _accuracy(level: Level) -> Cell:
    parts: Sequence[str | None] = (
        None if level.accuracy is None else show.figure(level.accuracy, level.accuracy_unit),
        level.accuracy_verdict,
        level.note,
    )
    return tuple(part for part in parts if part)
