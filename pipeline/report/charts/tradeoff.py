"""Accuracy against p50, with both intervals and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.report.charts.drawing import (
    BLUE,
    GREY,
    SMALL_PX,
    Align,
    Panel,
    Values,
    chart_of,
    finished,
    shortened,
    styled,
)
from pipeline.report.fields import ACCURACY, header
from pipeline.report.rows import Group, Row, unit_of
from pipeline.results import numbers as show
from pipeline.results.intervals import gain_sign

if TYPE_CHECKING:
    import altair as alt

CAPTION = (
    "Up and left is better. Crosses are 95 % intervals. Diamonds joined by a line are on the Pareto front: no other row"
    " beats them for sure."
)
_ON, _OFF = "on the front", "not on it"
_LABELLED_POINTS = 12
"""With more points than this, only those on the front carry their names."""
_PLACES: tuple[tuple[str, int, int, Align], ...] = (
    ("left above", -10, 6, "left"),
    ("left below", 13, 6, "left"),
    ("right above", -10, -6, "right"),
    ("right below", 13, -6, "right"),
)
"""Where a point's name stands, by the point's half of the chart: towards the middle, neighbours on alternate sides."""


def tradeoff_panel(group: Group) -> Panel | None:
    """The chart; None where no row has both an accuracy and a latency."""
    import altair as alt

    values = [value for row in group.rows if (value := _value(row)) is not None]
    if not values:
        return None
    _place_names(values)
    base = chart_of(values)
    metric = header(ACCURACY, group.rows)
    unit = unit_of(*(row.variant for row in group.rows))
    scale = _roomy([(item["low"], item["high"]) for item in values])
    x = alt.X("p50:Q", title="p50 (ms)", scale=scale, axis=alt.Axis(tickCount=8))
    scale = _roomy([(item["accuracy_low"], item["accuracy_high"]) for item in values], reverse=gain_sign(unit) < 0)
    y = alt.Y("accuracy:Q", title=f"{metric} (%)" if unit == "percent" else metric, scale=scale)
    shape = alt.Shape("front:N", scale=styled({_ON: "diamond", _OFF: "circle"}), legend=None)
    colour = alt.Color("front:N", scale=styled({_ON: BLUE, _OFF: GREY}), legend=None)
    tooltip = ["variant:N", "front:N", "shown_accuracy:N", "shown_p50:N"]
    front = base.transform_filter(f"datum.front === '{_ON}'")
    layers = [
        front.mark_line(strokeDash=[5, 3], color=BLUE, opacity=0.7).encode(x=x, y=y, order="p50:Q"),
        base.mark_rule(opacity=0.7).encode(x=alt.X("low:Q"), x2="high:Q", y=y, color=colour),
        base.mark_rule(opacity=0.7).encode(y=alt.Y("accuracy_low:Q"), y2="accuracy_high:Q", x=x, color=colour),
        base.mark_point(size=90, filled=True, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip),
        *[
            base.transform_filter(f"datum.place === '{place}'")
            .mark_text(dy=dy, dx=dx, align=align, fontSize=SMALL_PX)
            .encode(x=x, y=y, text="name:N")
            for place, dy, dx, align in _PLACES
        ],
    ]
    words = "; ".join(
        f"{item['variant']} {item['shown_accuracy']} at {item['shown_p50']} ms, {item['front']}" for item in values
    )
    return Panel(title=group.title, words=f"{metric} against latency: {words}", spec=finished(layers, 320))


def _value(row: Row) -> dict[str, Any] | None:
    result = row.result
    if result is None or result.latency_ms is None or result.accuracy is None:
        return None
    p50, accuracy = result.latency_ms.p50, result.accuracy
    scale = 100 if accuracy.unit == "percent" else 1
    return {
        "variant": row.name,
        "front": _ON if result.pareto else _OFF,
        "p50": p50.value,
        "low": p50.low if p50.low is not None else p50.value,
        "high": p50.high if p50.high is not None else p50.value,
        "accuracy": scale * accuracy.value,
        "accuracy_low": scale * accuracy.low,
        "accuracy_high": scale * accuracy.high,
        "shown_p50": show.number(p50.value),
        "shown_accuracy": show.figure(accuracy.value, accuracy.unit),
    }


def _place_names(values: Values) -> None:
    """Give every point the name that it carries, and its place."""
    middle = (min(value["p50"] for value in values) + max(value["p50"] for value in values)) / 2
    for rank, value in enumerate(sorted(values, key=lambda item: float(item["p50"]))):
        named = len(values) <= _LABELLED_POINTS or value["front"] == _ON
        side = "left" if value["p50"] <= middle else "right"
        value["name"] = shortened(value["variant"]) if named else ""
        value["place"] = f"{side} {'below' if rank % 2 else 'above'}"


def _roomy(intervals: Sequence[tuple[float, float]], *, reverse: bool = False) -> alt.Scale:
    """A scale over all intervals with some room for the points' names, never starting at 0 for the sake of it. What is
    better is above: ``reverse`` puts less there."""
    import altair as alt

    low, high = min(item[0] for item in intervals), max(item[1] for item in intervals)
    room = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    least = low - room if low < 0 else max(0.0, low - room)
    ends = [high + room, least] if reverse else [least, high + room]
    return alt.Scale(domain=ends, nice=False, zero=False)
