"""The charts of report.html, as Vega-Lite descriptions that a browser draws.

Colours here are readable on light and dark alike; text and grid lines get theirs from the page's style sheet. No chart
says by colour alone what shapes or words do not say as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.report import numbers as show
from pipeline.report.fields import ACCURACY, SPEEDUP, header
from pipeline.report.rows import Row, Section, sections
from pipeline.report.verdicts import TONES
from pipeline.results import Report

if TYPE_CHECKING:
    import altair as alt

BLUE = "#3b82c4"
GREY = "#8a8f98"
TONE_COLOURS = {"good": "#2a9d6f", "bad": "#d1495b", "caution": "#c98a12", "neutral": GREY}
TONE_SHAPES = {"good": "triangle-up", "bad": "triangle-down", "caution": "diamond", "neutral": "circle"}
_RATIO_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.7, 2.0, 3.0, 4.0, 6.0)
_LARGE_RATIO_TICKS = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
_NAME = "length(datum.label) > 26 ? slice(datum.label, 0, 14) + '…' + slice(datum.label, -11) : datum.label"
_LABELLED_POINTS = 12
"""With more points than this, only those on the front carry their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart: its heading, what it shows in words (for those who do not see it), its description for Vega-Lite."""

    title: str
    words: str
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Panels of one kind, with one caption."""

    title: str
    caption: str
    panels: list[Panel]


def figures(report: Report) -> list[Figure]:
    """Every figure for which there is something to show."""
    groups = sections(report)
    kinds: tuple[tuple[str, str, Callable[[Section], Panel | None]], ...] = (
        (
            "Speed-up",
            "The point is the estimate, the line its 95 % interval, the dashed line no change. The scale is logarithmic.",
            speedup_panel,
        ),
        (
            "Accuracy against latency",
            "Up and left is better. Crosses are 95 % intervals. Diamonds joined by a line are on the Pareto front: no"
            " other row is both faster and more accurate.",
            tradeoff_panel,
        ),
        (
            "Latency distributions",
            "One tick for each of the 1st to 99th percentiles of single calls: dense where most calls fall. The long"
            " tick is the median.",
            distribution_panel,
        ),
        ("Peak memory", "Of a fresh process that has loaded the model and run it.", memory_panel),
    )
    found = [
        Figure(title=title, caption=caption, panels=[panel for panel in map(draw, groups) if panel is not None])
        for title, caption, draw in kinds
    ]
    found.insert(3, Figure(title="Size", caption="Of the artifact's files on disk.", panels=size_panels(report)))
    return [figure for figure in found if figure.panels]


def speedup_panel(section: Section) -> Panel | None:
    """A forest plot: each row's speed-up with its interval, and the line at 1."""
    import altair as alt

    values = []
    for row in section.rows:
        found = row.result.speedup if row.result is not None else None
        if found is not None:
            tone = TONES[found.verdict]
            label = " ".join(SPEEDUP.cell(row)[:2])
            values.append(
                {"variant": row.variant.name, "value": found.value, "low": found.low, "high": found.high}
                | {"label": label, "tone": tone, "baseline": 1}
            )
    if not values:
        return None
    lowest = min(1.0, *[item["low"] for item in values])
    highest = max(1.0, *[item["high"] for item in values])
    room = max(highest / lowest, 1.05) ** 0.12
    domain = [lowest / room, highest * room]
    ticks = [tick for tick in (*_RATIO_TICKS, *_LARGE_RATIO_TICKS) if domain[0] <= tick <= domain[1]]
    scale = alt.Scale(type="log", domain=domain, nice=False)
    axis = alt.Axis(values=ticks, format="~g", labelOverlap=True)
    base = alt.Chart(alt.Data(values=values))
    y = _names(values)
    x = alt.X("value:Q", title="times faster than the reference", scale=scale, axis=axis)
    colour = alt.Color("tone:N", legend=None, scale=_by_tone(TONE_COLOURS))
    tooltip = [alt.Tooltip("variant:N"), alt.Tooltip("label:N", title="speed-up")]
    chart = alt.layer(
        base.mark_rule(strokeDash=[4, 3], color=GREY).encode(x=alt.X("baseline:Q", scale=scale)),
        base.mark_rule(strokeWidth=2.5).encode(y=y, x=alt.X("low:Q", scale=scale), x2="high:Q", color=colour),
        base.mark_point(size=70, filled=True, opacity=1).encode(
            y=y,
            x=x,
            color=colour,
            shape=alt.Shape("tone:N", legend=None, scale=_by_tone(TONE_SHAPES)),
            tooltip=tooltip,
        ),
        base.mark_text(dy=-12, fontSize=11).encode(y=y, x=x, text="label:N"),
    )
    words = "; ".join(f"{item['variant']} {item['label']}" for item in values)
    return Panel(title=section.title, words=f"Speed-up: {words}", spec=_finished(chart, 44 * len(values)))


def tradeoff_panel(section: Section) -> Panel | None:
    """Accuracy against p50, with both intervals and the Pareto front."""
    import altair as alt

    values = [value for row in section.rows if (value := _tradeoff(row)) is not None]
    if not values:
        return None
    for rank, value in enumerate(sorted(values, key=lambda item: item["p50"])):
        named = len(values) <= _LABELLED_POINTS or value["front"] == "on the front"
        value |= {"name": _shortened(value["variant"]) if named else "", "above": rank % 2 == 0}
    base = alt.Chart(alt.Data(values=values))
    metric = header(ACCURACY, section.rows)
    x = alt.X("p50:Q", title="p50 (ms)", scale=_roomy([(item["low"], item["high"]) for item in values]))
    scale_y = _roomy([(item["accuracy_low"], item["accuracy_high"]) for item in values])
    y = alt.Y("accuracy:Q", title=f"{metric} (%)", scale=scale_y)
    shape = alt.Shape(
        "front:N",
        title="Pareto front",
        scale=alt.Scale(domain=["on the front", "not on it"], range=["diamond", "circle"]),
        legend=alt.Legend(orient="bottom", symbolFillColor=GREY, title=None),
    )
    colour = alt.condition("datum.front === 'on the front'", alt.value(BLUE), alt.value(GREY))
    front = base.transform_filter("datum.front === 'on the front'")
    name = base.mark_text(fontSize=11)
    chart = alt.layer(
        front.mark_line(strokeDash=[5, 3], color=BLUE, opacity=0.7).encode(x=x, y=y, order="p50:Q"),
        base.mark_rule(opacity=0.7).encode(x=alt.X("low:Q"), x2="high:Q", y=y, color=colour),
        base.mark_rule(opacity=0.7).encode(y=alt.Y("accuracy_low:Q"), y2="accuracy_high:Q", x=x, color=colour),
        base.mark_point(size=90, filled=True, opacity=1).encode(
            x=x,
            y=y,
            color=colour,
            shape=shape,
            tooltip=["variant:N", "front:N", "shown_accuracy:N", "shown_p50:N"],
        ),
        *[
            name.transform_filter(f"datum.above === {condition}").mark_text(dy=dy, fontSize=11, align=align, dx=dx)
            .encode(x=x, y=y, text="name:N")
            for condition, dy, align, dx in (("true", -10, "left", 6), ("false", 13, "left", 6))
        ],
    )
    words = "; ".join(
        f"{item['variant']} {item['shown_accuracy']} at {item['shown_p50']} ms, {item['front']}" for item in values
    )
    return Panel(title=section.title, words=f"{metric.capitalize()} against latency: {words}", spec=_finished(chart, 320))


def distribution_panel(section: Section) -> Panel | None:
    """The 1st to 99th percentile of each row's calls, a tick each."""
    import altair as alt

    values, medians = [], []
    for row in section.rows:
        found = row.result.latency_ms if row.result is not None else None
        if found is None or not found.distribution_ms:
            continue
        values += [{"variant": row.variant.name, "ms": ms} for ms in found.distribution_ms]
        shown = f"p50 {show.number(found.p50.value)} ms, p99 {show.number(found.p99.value)} ms"
        medians.append({"variant": row.variant.name, "ms": found.p50.value, "shown": shown})
    if not medians:
        return None
    smallest, largest = min(item["ms"] for item in values), max(item["ms"] for item in values)
    wide = smallest > 0 and largest / smallest > 20
    scale = alt.Scale(type="log" if wide else "linear", zero=False, nice=True)
    x = alt.X("ms:Q", title="ms a call (logarithmic)" if wide else "ms a call", scale=scale)
    y = _names(medians)
    chart = alt.layer(
        alt.Chart(alt.Data(values=values)).mark_tick(size=14, thickness=1.5, opacity=0.35, color=BLUE).encode(x=x, y=y),
        alt.Chart(alt.Data(values=medians))
        .mark_tick(size=24, thickness=2.5, color=BLUE)
        .encode(x=x, y=y, tooltip=["variant:N", "shown:N"]),
    )
    words = "; ".join(f"{item['variant']} {item['shown']}" for item in medians)
    return Panel(title=section.title, words=f"Latency: {words}", spec=_finished(chart, 32 * len(medians)))


def size_panels(report: Report) -> list[Panel]:
    """One panel with the size of each variant that has rows or an artifact."""
    sizes = [(variant.name, variant.size_bytes) for variant in report.variants if variant.size_bytes is not None]
    return [_bars("all variants", "Size", sizes)] if sizes else []


def memory_panel(section: Section) -> Panel | None:
    """The peak memory of each row that has one."""
    memory = [
        (row.variant.name, row.result.peak_memory_bytes)
        for row in section.rows
        if row.result is not None and row.result.peak_memory_bytes is not None
    ]
    return _bars(section.title, "Peak memory", memory) if memory else None


def _bars(title: str, what: str, sizes: Sequence[tuple[str, int]]) -> Panel:
    import altair as alt

    values = [{"variant": name, "mb": size / 1e6, "shown": f"{show.megabytes(size)} MB"} for name, size in sizes]
    base = alt.Chart(alt.Data(values=values))
    largest = max(item["mb"] for item in values if isinstance(item["mb"], float))
    x = alt.X("mb:Q", title="MB", scale=alt.Scale(domain=[0, largest * 1.18 or 1], nice=False))
    chart = alt.layer(
        base.mark_bar(color=BLUE, height=14).encode(x=x, y=_names(values), tooltip=["variant:N", "shown:N"]),
        base.mark_text(align="left", dx=4, fontSize=11).encode(x=x, y=_names(values), text="shown:N"),
    )
    words = "; ".join(f"{item['variant']} {item['shown']}" for item in values)
    return Panel(title=title, words=f"{what}: {words}", spec=_finished(chart, 26 * len(values)))


def _tradeoff(row: Row) -> dict[str, Any] | None:
    result = row.result
    if result is None or result.latency_ms is None or result.accuracy is None:
        return None
    p50, accuracy = result.latency_ms.p50, result.accuracy
    return {
        "variant": row.variant.name,
        "front": "on the front" if result.pareto else "not on it",
        "p50": p50.value,
        "low": p50.low if p50.low is not None else p50.value,
        "high": p50.high if p50.high is not None else p50.value,
        "accuracy": 100 * accuracy.value,
        "accuracy_low": 100 * accuracy.low,
        "accuracy_high": 100 * accuracy.high,
        "shown_p50": show.number(p50.value),
        "shown_accuracy": show.percent(accuracy.value),
    }


def _names(values: Sequence[dict[str, Any]]) -> alt.Y:
    """The variants on the y axis, in the report's order, long names shortened in their middle."""
    import altair as alt

    order = list(dict.fromkeys(item["variant"] for item in values))
    axis = alt.Axis(labelExpr=_NAME, labelLimit=190, title=None, ticks=False, domain=False)
    return alt.Y("variant:N", sort=order, axis=axis)


def _by_tone(styles: dict[str, str]) -> alt.Scale:
    import altair as alt

    return alt.Scale(domain=list(styles), range=list(styles.values()))


def _roomy(intervals: Sequence[tuple[float, float]]) -> alt.Scale:
    """A scale over all intervals with some room for the points' names, never starting at 0 for the sake of it."""
    import altair as alt

    low, high = min(item[0] for item in intervals), max(item[1] for item in intervals)
    room = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    return alt.Scale(domain=[max(0.0, low - room), high + room], nice=False, zero=False)


def _shortened(name: str) -> str:
    return f"{name[:14]}…{name[-11:]}" if len(name) > 26 else name


def _finished(chart: alt.LayerChart, height: int) -> dict[str, Any]:
    """The chart's description: as wide as the page gives it, and ``height`` pixels high."""
    sized = chart.properties(width="container", height=max(height, 40), background="transparent")
    sized = sized.configure_view(stroke=None).configure_axis(labelFontSize=12, titleFontSize=12, titleFontWeight="normal")
    spec: dict[str, Any] = sized.to_dict()
    return spec
