"""Accuracy against p50, with both intervals, the Pareto front, and the drop that is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
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
from pipeline.report.rows import Group
from pipeline.report.tradeoff import Frame, Kind, RowPoint, Tradeoff, tradeoff_of

CAPTION = (
    "Up and left is better: more accurate, and faster. The logarithmic scale gives twice as fast the same room "
    "everywhere. Crosses are 95 % intervals. Blue rows are on the Pareto front: no other row beats them for sure. "
    "Below the dashed line more accuracy is lost than the margin allows. A triangle at an edge stands for a row that "
    "lies beyond it."
)
_ON: Kind = "on the Pareto front"
_OFF: Kind = "not on the front"
_OUT: Kind = "beyond the edge"
_COLOURS: Mapping[str, str] = {_ON: BLUE, _OFF: GREY, _OUT: ORANGE}
_SHAPES: Mapping[str, str] = {_ON: "diamond", _OFF: "circle", _OUT: "triangle"}
_HEIGHT_PX = 330
_AXIS_PX = 68
"""What the y axis and the right edge take of the width, about."""


def tradeoff_panel(group: Group) -> Panel | None:
    """The chart; None where no row has both an accuracy and a latency."""
    found = tradeoff_of(group)
    if found is None:
        return None
    values = [_value(point) for point in found.points]
    return Panel(
        title=group.title,
        words=found.words,
        spec=_drawn(values, found, WIDE_PX),
        narrow=_drawn(values, found, NARROW_PX),
    )


def _value(point: RowPoint) -> dict[str, Any]:
    name = point.figures if point.kind == _OUT else shortened(point.name)
    return asdict(point) | {"name": name, "tip": tip(f"{point.words}{' (recommended)' if point.recommended else ''}")}


def _drawn(values: Values, found: Tradeoff, width: int) -> dict[str, Any]:
    import altair as alt

    frame = found.frame
    base = chart_of(values)
    scale = alt.Scale(type="log", domain=[frame.left, frame.right], nice=False)
    x = alt.X("p50:Q", title="p50 (ms a call)", scale=scale, axis=alt.Axis(values=frame.ticks, format="~g"))
    scale = alt.Scale(domain=[frame.bottom, frame.top], nice=False, zero=False)
    y = alt.Y("accuracy:Q", title=found.title, scale=scale, axis=alt.Axis(tickCount=6))
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
    return finished([*_margin(found.limit, frame, y), *layers], _HEIGHT_PX)


def _margin(limit: float | None, frame: Frame, y: Any) -> list[Any]:
    """The line of the largest drop that is allowed, with its name."""
    import altair as alt

    if limit is None:
        return []
    base = chart_of([{"accuracy": limit, "p50": frame.right, "name": "margin"}])
    line = base.mark_rule(strokeDash=[6, 4], color=ORANGE).encode(y=y)
    name = base.mark_text(align="right", dx=-4, dy=11, fontSize=SMALL_PX, fontStyle="italic")
    return [line, name.encode(x=alt.X("p50:Q"), y=y, text="name:N")]


def _names(values: Values, frame: Frame, width: int, x: Any, y: Any) -> list[Any]:
    """A layer for each name that has a place: the recommended row first, then the front."""
    ordered = sorted(values, key=lambda item: (not item["recommended"], item["kind"] == _OFF))
    across = width - _AXIS_PX
    points = [
        Point(
            x=across * frame.across(item["p50"]),
            y=_HEIGHT_PX * frame.down(item["accuracy"]),
            name=item["name"],
        )
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
