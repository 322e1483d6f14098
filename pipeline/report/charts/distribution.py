"""The distribution of each row's calls, as its percentiles."""

from __future__ import annotations

from pipeline.report.charts.drawing import BLUE, Panel, Values, chart_of, finished, names, tip
from pipeline.report.rows import Group
from pipeline.results import numbers as show

CAPTION = (
    "One tick for each of the 1st to 99th percentiles of single calls: dense where most calls fall. The long tick is"
    " the median."
)
_LOGARITHMIC_FROM = 5
"""The scale is logarithmic where the slowest call shown takes this many times as long as the fastest."""


def distribution_panel(group: Group) -> Panel | None:
    """The chart; None where no row has a distribution."""
    import altair as alt

    ticks: Values = []
    medians: Values = []
    for row in group.rows:
        found = row.result.latency_ms if row.result is not None else None
        if found is None or not found.distribution_ms:
            continue
        ticks += [{"variant": row.name, "ms": ms} for ms in found.distribution_ms]
        shown = f"p50 {show.number(found.p50.value)} ms, p99 {show.number(found.p99.value)} ms"
        medians.append({"variant": row.name, "ms": found.p50.value, "shown": shown, "tip": tip(f"{row.name}: {shown}")})
    if not medians:
        return None
    smallest, largest = min(item["ms"] for item in ticks), max(item["ms"] for item in ticks)
    wide = smallest > 0 and largest / smallest > _LOGARITHMIC_FROM
    scale = alt.Scale(type="log", domain=[smallest * 0.93, largest * 1.07]) if wide else alt.Scale(zero=False)
    title = "ms a call (logarithmic)" if wide else "ms a call"
    x, y = alt.X("ms:Q", title=title, scale=scale, axis=alt.Axis(labelOverlap="greedy")), names(medians)
    layers = [
        chart_of(ticks).mark_tick(size=14, thickness=1.5, opacity=0.35, color=BLUE).encode(x=x, y=y),
        chart_of(medians).mark_tick(size=24, thickness=2.5, color=BLUE).encode(x=x, y=y, description="tip:N"),
    ]
    words = "; ".join(f"{item['variant']} {item['shown']}" for item in medians)
    return Panel(title=group.title, words=f"Latency: {words}", spec=finished(layers, 32 * len(medians)))
