"""The charts of report.html, as Vega-Lite descriptions that a browser draws."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.report import (
    chart_distribution,
    chart_factors,
    chart_ladder,
    chart_pruning,
    chart_sensitivity,
    chart_sizes,
    chart_speedup,
    chart_tradeoff,
)
from pipeline.report.drawing import Panel
from pipeline.report.factor_table import TITLE
from pipeline.report.rows import compared
from pipeline.results import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Panels of one kind, with one caption."""

    title: str
    caption: str
    panels: list[Panel]


def figures(report: Report) -> list[Figure]:
    """Every figure for which there is something to show; a panel for each target and batch size."""
    groups = compared(report)
    axes = [] if report.factors is None else report.factors.axes
    found = [
        _figure(f"{TITLE}, axis by axis", chart_factors.CAPTION, map(chart_factors.factor_panel, axes)),
        _figure("Speed-up", chart_speedup.CAPTION, map(chart_speedup.speedup_panel, groups)),
        _figure("Throughput by batch size", chart_ladder.CAPTION, chart_ladder.ladder_panels(report)),
        _figure("Accuracy against latency", chart_tradeoff.CAPTION, map(chart_tradeoff.tradeoff_panel, groups)),
        _figure(
            "Latency distributions", chart_distribution.CAPTION, map(chart_distribution.distribution_panel, groups)
        ),
        _figure(
            "Sensitivity to quantization",
            chart_sensitivity.CAPTION,
            map(chart_sensitivity.sensitivity_panel, report.variants),
        ),
        _figure("Sensitivity to pruning", chart_pruning.CAPTION, map(chart_pruning.pruning_panel, report.variants)),
        _figure(
            "Size and memory",
            chart_sizes.CAPTION,
            [chart_sizes.size_panel(report), *map(chart_sizes.memory_panel, groups)],
        ),
    ]
    return [figure for figure in found if figure.panels]


def _figure(title: str, caption: str, panels: Iterable[Panel | None]) -> Figure:
    return Figure(title=title, caption=caption, panels=[panel for panel in panels if panel is not None])
