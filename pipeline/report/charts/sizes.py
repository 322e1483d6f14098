"""Bars: the size of each variant on disk and in memory."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.charts.drawing import BLUE, SMALL_PX, Panel, Values, chart_of, finished, names, tip
from pipeline.report.rows import Group
from pipeline.results import numbers as show
from pipeline.results.report import Report

CAPTION = "Size: the artifact's files on disk. Peak memory: of a fresh process that has loaded the model and run it."


def size_panel(report: Report) -> Panel | None:
    """The size of each variant that has an artifact; None where none has."""
    sizes = [(variant.name, variant.size_bytes) for variant in report.variants if variant.size_bytes is not None]
    return _bars("Size", sizes) if sizes else None


def memory_panel(group: Group) -> Panel | None:
    """The peak memory of each row that has one; None where none has."""
    memory = [
        (row.name, row.result.peak_memory_bytes)
        for row in group.rows
        if row.result is not None and row.result.peak_memory_bytes is not None
    ]
    return _bars(f"Peak memory, {group.title}", memory) if memory else None


def _bars(title: str, sizes: Sequence[tuple[str, int]]) -> Panel:
    import altair as alt

    values: Values = [
        {"variant": name, "mb": size / 1e6, "shown": shown, "tip": tip(f"{name}: {shown}")}
        for name, size in sizes
        for shown in [f"{show.megabytes(size)} MB"]
    ]
    largest = max(size for _, size in sizes) / 1e6
    base, y = chart_of(values), names(values)
    x = alt.X("mb:Q", title="MB", scale=alt.Scale(domain=[0, 1.18 * largest or 1], nice=False))
    layers = [
        base.mark_bar(color=BLUE, height=14).encode(x=x, y=y, description="tip:N"),
        base.mark_text(align="left", dx=4, fontSize=SMALL_PX).encode(x=x, y=y, text="shown:N"),
    ]
    words = "; ".join(f"{item['variant']} {item['shown']}" for item in values)
    return Panel(title=title, words=f"{title}: {words}", spec=finished(layers, 26 * len(values)))
