"""Speed-up and throughput against batch size, a line for each variant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.charts.drawing import GREY, Panel, Values, chart_of, finished, shortened, tip
from pipeline.report.rows import groups
from pipeline.report.sections.ladder import sentence, with_interval
from pipeline.results import numbers as show
from pipeline.results.ladder import Ladder, Rung
from pipeline.results.report import Report

CAPTION = (
    "Higher is better, with 95 % intervals. Speed-up: over the reference at the same batch size; the dashed line is no "
    "change. Throughput: examples a second, one call after the other; a line that no longer rises is saturated."
)
_HEIGHT = 280


@dataclass(frozen=True, slots=True)
class _Scale:
    """The y axis: its title, its ends, and whether it is logarithmic; and the variants, whose order gives each its
    colour in every chart."""

    title: str
    low: float
    high: float
    log: bool
    variants: list[str]


def ladder_panels(report: Report) -> list[Panel]:
    """For each target a chart of speed-ups, if there are any, and one of throughputs."""
    by_target: dict[str, list[Ladder]] = {}
    for ladder in report.ladders:
        by_target.setdefault(ladder.target, []).append(ladder)
    panels = [
        panel
        for target, ladders in by_target.items()
        for panel in (_speedups(report, target), _throughputs(report, target, ladders))
    ]
    return [panel for panel in panels if panel is not None]


def _speedups(report: Report, target: str) -> Panel | None:
    values: Values = []
    for row in (row for group in groups(report) for row in group.rows):
        found = None if row.result is None or row.result.target != target else row.result.speedup
        if row.result is None or found is None:
            continue
        shown = show.ratio(found.value, found.low, found.high if math.isfinite(found.high) else None)
        size = row.result.batch_size
        values.append(
            _value(row.variant.name, size, found.value, found.low, found.high) | {"shown": shown}
            | {"tip": tip(f"{row.variant.name}, batch {size}: {shown} {found.verdict}")}
        )  # fmt: skip
    if not values:
        return None
    ends = [1.0, *(item["rate"] for item in values)]
    scale = _Scale(
        "times as fast as the reference", min(ends) / 1.3, max(ends) * 1.3, log=True, variants=_variants(report)
    )
    words = "; ".join(f"{item['variant']} at batch {item['batch']} {item['shown']}" for item in values)
    return Panel(
        title=f"Speed-up, {target}", words=f"Speed-up by batch size: {words}", spec=_lines(values, scale, line_at=1.0)
    )


def _throughputs(report: Report, target: str, ladders: Sequence[Ladder]) -> Panel:
    values = [_throughput(ladder, rung) for ladder in ladders for rung in ladder.rungs]
    scale = _Scale(
        "examples a second", 0.0, 1.05 * max(item["high"] for item in values), log=False, variants=_variants(report)
    )
    words = " ".join(f"{ladder.variant}: {sentence(ladder)}" for ladder in ladders)
    return Panel(title=f"Throughput, {target}", words=f"Throughput by batch size. {words}", spec=_lines(values, scale))


def _variants(report: Report) -> list[str]:
    climbed = {ladder.variant for ladder in report.ladders}
    return [shortened(variant.name) for variant in report.variants if variant.name in climbed]


def _throughput(ladder: Ladder, rung: Rung) -> dict[str, Any]:
    found = rung.throughput
    low, high = (found.value if end is None else end for end in (found.low, found.high))
    told = f"{ladder.variant}, batch {rung.batch_size}: {with_interval(found)} examples a second"
    return _value(ladder.variant, rung.batch_size, found.value, low, high) | {"tip": tip(told)}


def _value(variant: str, batch: int, rate: float, low: float, high: float) -> dict[str, Any]:
    return {"variant": shortened(variant), "batch": batch, "rate": rate, "low": low, "high": high}


def _lines(values: Values, scale: _Scale, line_at: float | None = None) -> dict[str, Any]:
    import altair as alt

    for item in values:  # An interval without an end goes to the edge of the chart.
        item |= {"low": max(item["low"], scale.low), "high": min(item["high"], scale.high)}
    base = chart_of(values)
    sizes = sorted({item["batch"] for item in values})
    variants = alt.Scale(domain=scale.variants)
    room = (sizes[-1] / sizes[0]) ** 0.05
    across = alt.Scale(type="log", base=2, domain=[sizes[0] / room, sizes[-1] * room], nice=False)
    x = alt.X("batch:Q", title="batch size", scale=across, axis=alt.Axis(values=sizes, format="~g", labelOverlap=True))
    up = alt.Scale(type="log" if scale.log else "linear", domain=[scale.low, scale.high], nice=False)
    axis = alt.Axis(format="~g" if scale.log else "~s", tickCount=6)
    y = alt.Y("rate:Q", title=scale.title, scale=up, axis=axis)
    legend = alt.Legend(title=None, orient="top", columns=2, labelLimit=240, symbolSize=90)
    colour = alt.Color("variant:N", scale=variants, legend=legend)
    shape = alt.Shape("variant:N", scale=variants, legend=legend)
    layers = [
        base.mark_line(opacity=0.8).encode(x=x, y=y, color=colour, order="batch:Q"),
        base.mark_rule(strokeWidth=2.5).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        base.mark_point(size=70, filled=True, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape, description="tip:N"
        ),
    ]
    if line_at is not None:
        rule = chart_of([{"rate": line_at}]).mark_rule(strokeDash=[4, 3], color=GREY)
        layers.insert(0, rule.encode(y=y))
    return finished(layers, _HEIGHT)
