"""A chart for each axis of the four factors: how many times as fast an example is, with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    names,
    styled,
    tip,
)
from pipeline.report.sections.factors import axis_sentence, axis_title, gain_text
from pipeline.results.factors import Axis, Level

if TYPE_CHECKING:
    import altair as alt

CAPTION = (
    "Each point is a row that differs from the base row in one thing, with its 95 % interval; the dashed line is the"
    " base row. A circle keeps the accuracy, a diamond does not, or not for sure. Logarithmic scales."
)
_KEPT, _PRICED, _BASE = "keeps the accuracy", "at the price of accuracy", "base row"
_COLOURS = {_KEPT: BLUE, _PRICED: "#c98a12", _BASE: GREY}
_SHAPES = {_KEPT: "circle", _PRICED: "diamond", _BASE: "square"}
_SPEED = "times as fast as the base row"
_TICKS = (
    *(0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.7, 2.0, 3.0, 5.0, 7.0),
    *(10.0, 20.0, 30.0, 50.0, 100.0, 200.0, 500.0),
)
_CURVE_PX = 260
_PLACES: Mapping[str, tuple[int, int, Align]] = {
    "left above": (7, -8, "left"),
    "left below": (7, 14, "left"),
    "right above": (-7, -8, "right"),
    "right below": (-7, 14, "right"),
}
"""Where a point's name stands, by the point's half of the chart: how far off, and which of its ends is at the point."""
_FORMATS = {"MACs": ".3~s", "parameters": ".3~s"}


def factor_panel(axis: Axis) -> Panel:
    """The curve along an ordered axis, or a line for each level where there is no order."""
    values = [_value(level) for level in axis.levels]
    domain = _domain(values)
    for item in values:  # An interval without an end goes to the edge of the chart.
        item |= {"low": max(item["low"], domain[0]), "high": min(item["high"], domain[1])}
    spec = _levels(values, domain) if axis.unit is None else _curve(values, domain, axis.unit)
    words = "; ".join(f"{item['variant']} {item['label']}" for item in values)
    return Panel(title=axis_title(axis), words=f"{_SPEED}: {words}. {axis_sentence(axis)}".strip(), spec=spec)


def _value(level: Level) -> dict[str, Any]:
    gain = level.gain
    if gain is None:
        place = {"value": 1.0, "low": 1.0, "high": 1.0, "label": _BASE, "kind": _BASE}
    else:
        kind = _KEPT if level.keeps_accuracy else _PRICED
        place = {"value": gain.value, "low": gain.low, "high": gain.high, "label": gain_text(gain), "kind": kind}
    told = tip(
        f"{level.label}: {place['label']} of the base row, {place['kind']}" if gain else f"{level.label}: {_BASE}"
    )
    return {"variant": level.label, "x": level.x, "one": 1, "tip": told, **place}


def _curve(values: Values, domain: tuple[float, float], unit: str) -> dict[str, Any]:
    import altair as alt

    base = chart_of(values)
    ends = [item["x"] for item in values]
    room = (max(ends) / min(ends)) ** 0.08
    _place_names(values)
    x_scale = alt.Scale(type="log", base=2, domain=[min(ends) / room, max(ends) * room], nice=False)
    x_axis = alt.Axis(values=sorted(set(ends)), format=_FORMATS.get(unit, "~g"), labelOverlap=True)
    x = alt.X("x:Q", title=unit, scale=x_scale, axis=x_axis)
    scale = _speed_scale(domain)
    y = alt.Y("value:Q", title=_SPEED, scale=scale, axis=_speed_axis(domain))
    colour, shape = _styles()
    layers = [
        base.mark_rule(strokeDash=[4, 3], color=GREY).encode(y=alt.Y("one:Q", scale=scale)),
        base.mark_line(color=GREY, opacity=0.7).encode(x=x, y=y, order="x:Q"),
        base.mark_rule(strokeWidth=2.5).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=colour),
        base.mark_point(size=70, filled=True, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape, description="tip:N"
        ),
        *[
            base.transform_filter(f"datum.place === '{place}'")
            .mark_text(dx=dx, dy=dy, align=align, fontSize=SMALL_PX)
            .encode(x=x, y=y, text="variant:N")
            for place, (dx, dy, align) in _PLACES.items()
        ],
    ]
    return finished(layers, _CURVE_PX)


def _place_names(values: Values) -> None:
    """Give every point's name its place: towards the middle, on the side of the curve where the curve does not go."""
    ordered = sorted(values, key=lambda item: float(item["x"]))
    rising = ordered[-1]["value"] > ordered[0]["value"]
    middle = math.sqrt(ordered[0]["x"] * ordered[-1]["x"])
    for item in values:
        left = item["x"] <= middle
        item["place"] = f"{'left' if left else 'right'} {'below' if left == rising else 'above'}"


def _levels(values: Values, domain: tuple[float, float]) -> dict[str, Any]:
    import altair as alt

    base, y, scale = chart_of(values), names(values), _speed_scale(domain)
    x = alt.X("value:Q", title=_SPEED, scale=scale, axis=_speed_axis(domain))
    colour, shape = _styles()
    layers = [
        base.mark_rule(strokeDash=[4, 3], color=GREY).encode(x=alt.X("one:Q", scale=scale)),
        base.mark_rule(strokeWidth=2.5).encode(y=y, x=alt.X("low:Q", scale=scale), x2="high:Q", color=colour),
        base.mark_point(size=70, filled=True, opacity=1).encode(
            y=y, x=x, color=colour, shape=shape, description="tip:N"
        ),
        base.mark_text(dy=-12, fontSize=SMALL_PX).encode(y=y, x=x, text="label:N"),
    ]
    return finished(layers, 44 * len(values))


def _styles() -> tuple[alt.Color, alt.Shape]:
    import altair as alt

    colour = alt.Color("kind:N", legend=None, scale=styled(_COLOURS))
    return colour, alt.Shape("kind:N", legend=None, scale=styled(_SHAPES))


def _speed_scale(domain: tuple[float, float]) -> alt.Scale:
    import altair as alt

    return alt.Scale(type="log", domain=list(domain), nice=False)


def _speed_axis(domain: tuple[float, float]) -> alt.Axis:
    import altair as alt

    ticks = [tick for tick in _TICKS if domain[0] <= tick <= domain[1]]
    return alt.Axis(values=ticks, format="~g", labelOverlap=True)


def _domain(values: Values) -> tuple[float, float]:
    """Every ratio, every bounded interval and 1, with room for the labels at both ends of the logarithmic scale."""
    ends = [item["value"] for item in values]
    ends += [end for item in values for end in (item["low"], item["high"]) if 0 < end < math.inf]
    lowest, highest = min(1.0, *ends), max(1.0, *ends)
    room = max(highest / lowest, 1.05) ** 0.2
    return lowest / room, highest * room
