"""A forest plot: each row's speed-up with its interval, and the line at 1."""

from __future__ import annotations

import math

from pipeline.report.charts.drawing import (
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
from pipeline.report.fields import SPEEDUP
from pipeline.report.rows import Group
from pipeline.report.verdicts import TONES

CAPTION = "The point is the estimate, the line its 95 % interval, the dashed line no change. Logarithmic scale."
_COLOURS = {"good": "#2a9d6f", "bad": "#d1495b", "caution": "#c98a12", "neutral": GREY}
_SHAPES = {"good": "triangle-up", "bad": "triangle-down", "caution": "diamond", "neutral": "circle"}
TICKS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.7),
    *(2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0),
)
_LABELS: tuple[tuple[str, Align, str], ...] = (("<", "left", "low"), (">=", "right", "high"))
"""A label begins or ends with its interval, towards the middle, so that the chart's edge doesn't cut it."""


def speedup_panel(group: Group) -> Panel | None:
    """The chart; None where no row has a speed-up."""
    import altair as alt

    values = _values(group)
    if not values:
        return None
    domain = domain_of(values)
    for item in values:  # An interval without an end goes to the edge of the chart.
        item |= {"low": max(item["low"], domain[0]), "high": min(item["high"], domain[1])}
    middle = math.sqrt(domain[0] * domain[1])
    scale = alt.Scale(type="log", domain=list(domain), nice=False)
    ticks = [tick for tick in TICKS if domain[0] <= tick <= domain[1]]
    axis = alt.Axis(values=ticks, format="~g", labelOverlap=True)
    base, y = chart_of(values), names(values)
    x = alt.X("value:Q", title="times faster than the reference", scale=scale, axis=axis)
    colour = alt.Color("tone:N", legend=None, scale=styled(_COLOURS))
    shape = alt.Shape("tone:N", legend=None, scale=styled(_SHAPES))
    layers = [
        base.mark_rule(strokeDash=[4, 3], color=GREY).encode(x=alt.X("one:Q", scale=scale)),
        base.mark_rule(strokeWidth=2.5).encode(y=y, x=alt.X("low:Q", scale=scale), x2="high:Q", color=colour),
        base.mark_point(size=70, filled=True, opacity=1).encode(
            y=y, x=x, color=colour, shape=shape, description="tip:N"
        ),
        *[
            base.transform_filter(f"datum.value {side} {middle}")
            .mark_text(dy=-12, fontSize=SMALL_PX, align=align)
            .encode(y=y, x=alt.X(f"{end}:Q", scale=scale), text="label:N")
            for side, align, end in _LABELS
        ],
    ]
    words = "; ".join(f"{item['variant']} {item['label']}" for item in values)
    return Panel(title=group.title, words=f"Speed-up: {words}", spec=finished(layers, 44 * len(values)))


def _values(group: Group) -> Values:
    values = []
    for row in group.rows:
        found = row.result.speedup if row.result is not None else None
        if found is None:
            continue
        label = " ".join(SPEEDUP.cell(row)[:2])
        item = {"variant": row.name, "value": found.value, "low": found.low, "high": found.high, "one": 1}
        item |= {"label": label, "tone": TONES[found.verdict], "tip": tip(f"{row.name}: {label}")}
        values.append(item)
    return values


def domain_of(values: Values) -> tuple[float, float]:
    """Every ratio and bounded interval, and 1, with some room on both sides of the logarithmic scale."""
    ends = [item["value"] for item in values]
    ends += [end for item in values for end in (item["low"], item["high"]) if 0 < end < math.inf]
    lowest, highest = min(1.0, *ends), max(1.0, *ends)
    room = max(highest / lowest, 1.05) ** 0.12
    return lowest / room, highest * room
