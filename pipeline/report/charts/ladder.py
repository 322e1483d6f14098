"""Throughput against batch size, a line for each variant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.report.charts.drawing import Panel, chart_of, finished, shortened
from pipeline.report.sections.ladder import sentence, with_interval
from pipeline.results.ladder import Ladder, Rung
from pipeline.results.report import Report

CAPTION = (
    "Higher is better: examples a second, one call after the other, with 95 % intervals. A line that no longer rises is"
    " saturated. The batch size is on a logarithmic scale."
)
_HEIGHT = 280


def ladder_panels(report: Report) -> list[Panel]:
    """A chart for each target, on which every variant with a ladder has its line."""
    by_target: dict[str, list[Ladder]] = {}
    for ladder in report.ladders:
        by_target.setdefault(ladder.target, []).append(ladder)
    return [_panel(target, found) for target, found in by_target.items()]


def _panel(target: str, ladders: Sequence[Ladder]) -> Panel:
    import altair as alt

    values = [_value(ladder, rung) for ladder in ladders for rung in ladder.rungs]
    base = chart_of(values)
    sizes = sorted({item["batch"] for item in values})
    lines = alt.Scale(domain=list(dict.fromkeys(item["variant"] for item in values)))
    x = alt.X(
        "batch:Q",
        title="batch size",
        scale=alt.Scale(type="log", base=2, domain=[sizes[0] / 1.1, sizes[-1] * 1.1], nice=False),
        axis=alt.Axis(values=sizes, format="~g", labelOverlap=True),
    )
    top = max(item["high"] for item in values)
    y = alt.Y(
        "rate:Q",
        title="examples a second",
        scale=alt.Scale(domain=[0, 1.05 * top], nice=False),
        axis=alt.Axis(format="~s"),
    )
    legend = alt.Legend(title=None, orient="top", columns=4, labelLimit=240, symbolSize=90)
    colour = alt.Color("variant:N", scale=lines, legend=legend)
    shape = alt.Shape("variant:N", scale=lines, legend=legend)
    layers = [
        base.mark_line(opacity=0.8).encode(x=x, y=y, color=colour, order="batch:Q"),
        base.mark_rule(strokeWidth=2.5).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        base.mark_point(size=70, filled=True, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape, tooltip=["variant:N", "batch:Q", "shown:N"]
        ),
    ]
    words = " ".join(f"{ladder.variant}: {sentence(ladder)}" for ladder in ladders)
    return Panel(title=target, words=f"Throughput by batch size. {words}", spec=finished(layers, _HEIGHT))


def _value(ladder: Ladder, rung: Rung) -> dict[str, Any]:
    found = rung.throughput
    return {
        "variant": shortened(ladder.variant),
        "batch": rung.batch_size,
        "rate": found.value,
        "low": found.value if found.low is None else found.low,
        "high": found.value if found.high is None else found.high,
        "shown": f"{with_interval(found)} examples/s",
    }
