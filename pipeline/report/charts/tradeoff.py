"""Accuracy against p50, with both intervals, the Pareto front, and the drop that is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.charts.drawing import (
    BLUE,
    GREY,
    NARROW_PX,
    ORANGE,
    SMALL_PX,
    WIDE_PX,
    Panel,
    Values,
    chart_of,
    finished,
    shortened,
    styled,
    tip,
)
from pipeline.report.charts.places import Point, places
from pipeline.report.fields import ACCURACY, header
from pipeline.report.rows import Group, Row, unit_of
from pipeline.results import numbers as show
from pipeline.results.intervals import gain_sign

CAPTION = (
    "Up and left is better: more accurate, and faster. The logarithmic scale gives twice as fast the same room "
    "everywhere. Crosses are 95 % intervals. Blue rows are on the Pareto front: no other row beats them for sure. "
    "Below the dashed line more accuracy is lost than the margin allows. A triangle at an edge stands for a row that "
    "lies beyond it."
)
_ON, _OFF, _OUT = "on the Pareto front", "not on the front", "beyond the edge"
_COLOURS = {_ON: BLUE, _OFF: GREY, _OUT: ORANGE}
_SHAPES = {_ON: "diamond", _OFF: "circle", _OUT: "triangle"}
_HEIGHT_PX = 330
_AXIS_PX = 68
"""What the y axis and the right edge take of the width, about."""
_SLOWEST, _FASTEST = 8.0, 1 / 30
"""A row that takes more of the reference's time than this, or less, stands at the edge."""
_FARTHEST = 6.0
"""A row that loses more margins than this stands at the edge."""
_STEPS = (1, 2, 3, 5, 7)


@dataclass(frozen=True, slots=True)
class _Frame:
    """The ends of both axes; ``bottom`` is the worse end."""

    left: float
    right: float
    bottom: float
    top: float

    def across(self, value: float, width: float) -> float:
        """The pixel of a latency, from the left."""
        return width * math.log(value / self.left) / math.log(self.right / self.left)

    def down(self, value: float) -> float:
        """The pixel of an accuracy, from the top."""
        return _HEIGHT_PX * (self.top - value) / (self.top - self.bottom)


def tradeoff_panel(group: Group) -> Panel | None:
    """The chart; None where no row has both an accuracy and a latency."""
    values = [value for row in group.rows if (value := _value(row)) is not None]
    if not values:
        return None
    limit = _limit(group.rows, values)
    frame = _frame(values, limit, gain_sign(unit_of(*(row.variant for row in group.rows))))
    _kept_inside(values, frame)
    metric = header(ACCURACY, group.rows)
    unit = unit_of(*(row.variant for row in group.rows))
    title = f"{metric} (%)" if unit == "percent" else metric
    words = "; ".join(f"{item['words']}, {item['kind']}" for item in values)
    return Panel(
        title=group.title,
        words=f"{metric} against latency: {words}",
        spec=_drawn(values, limit, frame, title, WIDE_PX),
        narrow=_drawn(values, limit, frame, title, NARROW_PX),
    )


def _drawn(values: Values, limit: float | None, frame: _Frame, title: str, width: int) -> dict[str, Any]:
    import altair as alt

    base = chart_of(values)
    scale = alt.Scale(type="log", domain=[frame.left, frame.right], nice=False)
    x = alt.X("p50:Q", title="p50 (ms a call)", scale=scale, axis=alt.Axis(values=_ticks(frame), format="~g"))
    scale = alt.Scale(domain=[frame.bottom, frame.top], nice=False, zero=False)
    y = alt.Y("accuracy:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))
    shape = alt.Shape("kind:N", scale=styled(_SHAPES), legend=None)
    colour = alt.Color("kind:N", scale=styled(_COLOURS), legend=None)
    front = base.transform_filter(f"datum.kind === '{_ON}'")
    layers = [
        front.mark_line(strokeDash=[2, 3], color=BLUE, opacity=0.8).encode(x=x, y=y, order="p50:Q"),
        base.mark_rule(opacity=0.6).encode(x=alt.X("low:Q"), x2="high:Q", y=y, color=colour),
        base.mark_rule(opacity=0.6).encode(y=alt.Y("accuracy_low:Q"), y2="accuracy_high:Q", x=x, color=colour),
        base.mark_point(size=100, filled=True, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape, description="tip:N"
        ),
        *_names(values, frame, width, x, y),
    ]
    return finished([*_margin(limit, frame, y), *layers], _HEIGHT_PX)


def _margin(limit: float | None, frame: _Frame, y: Any) -> list[Any]:
    """The line of the largest drop that is allowed, with its name."""
    import altair as alt

    if limit is None:
        return []
    base = chart_of([{"accuracy": limit, "p50": frame.right, "name": "margin"}])
    line = base.mark_rule(strokeDash=[6, 4], color=ORANGE).encode(y=y)
    name = base.mark_text(align="right", dx=-4, dy=11, fontSize=SMALL_PX, fontStyle="italic")
    return [line, name.encode(x=alt.X("p50:Q"), y=y, text="name:N")]


def _names(values: Values, frame: _Frame, width: int, x: Any, y: Any) -> list[Any]:
    """A layer for each name that has a place: the recommended row first, then the front."""
    ordered = sorted(values, key=lambda item: (not item["recommended"], item["kind"] == _OFF))
    across = width - _AXIS_PX
    points = [
        Point(x=frame.across(item["p50"], across), y=frame.down(item["accuracy"]), name=item["name"])
        for item in ordered
    ]
    return [
        chart_of([item])
        .mark_text(
            dx=place.dx,
            dy=place.dy,
            align=place.align,
            fontSize=SMALL_PX,
            fontWeight="bold" if item["recommended"] else "normal",
        )
        .encode(x=x, y=y, text="name:N")
        for item, place in zip(ordered, places(points, across, _HEIGHT_PX), strict=True)
        if place is not None
    ]


def _value(row: Row) -> dict[str, Any] | None:
    result = row.result
    if result is None or result.latency_ms is None or result.accuracy is None or not result.latency_ms.p50.value:
        return None
    p50, accuracy = result.latency_ms.p50, result.accuracy
    scale = 100 if accuracy.unit == "percent" else 1
    words = f"{row.name}: {show.figure(accuracy.value, accuracy.unit)} at {show.number(p50.value)} ms a call"
    return {
        "name": shortened(row.name),
        "recommended": row.recommended,
        "kind": _ON if result.pareto else _OFF,
        "p50": p50.value,
        "low": p50.value if p50.low is None else p50.low,
        "high": p50.value if p50.high is None else p50.high,
        "accuracy": scale * accuracy.value,
        "accuracy_low": scale * accuracy.low,
        "accuracy_high": scale * accuracy.high,
        "words": words,
        "tip": tip(f"{words}{' (recommended)' if row.recommended else ''}"),
    }


def _limit(rows: Sequence[Row], values: Values) -> float | None:
    """The figure of a row that loses just the margin; None where no row is compared."""
    for row in rows:
        found = None if row.result is None else row.result.accuracy
        if found is not None and found.margin is not None and found.before is not None:
            scale = 100 if found.unit == "percent" else 1
            return scale * (found.before - gain_sign(found.unit) * found.margin)
    return None


def _frame(values: Values, limit: float | None, sign: int) -> _Frame:
    """Both axes over all rows but those that would press the others together; what is better is above."""
    middle = sorted(item["p50"] for item in values)[len(values) // 2]
    times = [item["p50"] for item in values if _FASTEST * middle <= item["p50"] <= _SLOWEST * middle]
    best = max(sign * item["accuracy"] for item in values)
    floor = -math.inf if limit is None else best - _FARTHEST * max(best - sign * limit, 1e-9)
    ends = [
        (sign * item["accuracy_low"], sign * item["accuracy_high"])
        for item in values
        if sign * item["accuracy"] >= floor
    ]
    low, high = min(map(min, ends)), max(map(max, ends))
    low = low if limit is None else min(low, sign * limit)
    room = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    spread = max(max(times) / min(times), 1.5) ** 0.14
    return _Frame(min(times) / spread, max(times) * spread, sign * (low - room), sign * (high + room))


def _kept_inside(values: Values, frame: _Frame) -> None:
    """Put a row that lies beyond an edge on it, without intervals and with its figures in its name."""
    low, high = sorted((frame.bottom, frame.top))
    for item in values:
        inside_x = min(max(item["p50"], frame.left), frame.right)
        inside_y = min(max(item["accuracy"], low), high)
        if (inside_x, inside_y) != (item["p50"], item["accuracy"]):
            item["kind"] = _OUT
            item["name"] = item["words"].replace(" a call", "")
            item |= {"low": inside_x, "high": inside_x, "accuracy_low": inside_y, "accuracy_high": inside_y}
        item |= {"p50": inside_x, "accuracy": inside_y}
        item["low"], item["high"] = max(item["low"], frame.left), min(item["high"], frame.right)
        item["accuracy_low"], item["accuracy_high"] = max(item["accuracy_low"], low), min(item["accuracy_high"], high)


def _ticks(frame: _Frame) -> list[float]:
    """Round latencies between the ends."""
    first = math.floor(math.log10(frame.left))
    powers = range(first, math.ceil(math.log10(frame.right)) + 1)
    every = [float(f"{step}e{power}") for power in powers for step in _STEPS]
    return [tick for tick in every if frame.left <= tick <= frame.right]
