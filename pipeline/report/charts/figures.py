"""The charts of report.html, as Vega-Lite descriptions that a browser draws."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from pipeline.errors.contained import Faults, contained
from pipeline.isolated import Limits, run
from pipeline.report.charts import (
    distribution as chart_distribution,
)
from pipeline.report.charts import (
    factors as chart_factors,
)
from pipeline.report.charts import (
    ladder as chart_ladder,
)
from pipeline.report.charts import (
    pruning as chart_pruning,
)
from pipeline.report.charts import (
    search as chart_search,
)
from pipeline.report.charts import (
    sensitivity as chart_sensitivity,
)
from pipeline.report.charts import (
    sizes as chart_sizes,
)
from pipeline.report.charts import (
    speedup as chart_speedup,
)
from pipeline.report.charts import (
    tradeoff as chart_tradeoff,
)
from pipeline.report.charts.drawing import Panel
from pipeline.report.rows import compared
from pipeline.report.sections.chains import TITLE as CHAINS
from pipeline.report.sections.factors import TITLE as FACTORS
from pipeline.report.sections.ladder import TITLE as LADDER
from pipeline.report.sections.results import TITLE as RESULTS
from pipeline.report.sections.search import TITLE as SEARCH
from pipeline.results.report import Report

_DRAWING_S = 300
"""So long may nothing be heard of the process that draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Panels of one kind, with one caption."""

    section: str
    """The title of the section that the panels stand in."""
    title: str
    caption: str
    panels: list[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """All figures of a report, and the script that draws them in a browser; empty where there is nothing to draw."""

    figures: list[Figure]
    library: str = ""
    faults: list[str] = field(default_factory=list)
    """The figures that could not be drawn, and why, a sentence each without its full stop."""


def draw(report: Report) -> Drawing:
    """Every figure for which there is something to show, each by itself; and the script, which also sorts tables."""
    faults = Faults()
    found = [
        faults.contain(f"the charts '{title}'", partial(_figure, section, title, caption, panels), None)
        for section, title, caption, panels in _kinds(report)
    ]
    drawn = [figure for figure in found if figure is not None and figure.panels]
    return Drawing(figures=drawn, library=chart_library() if drawn else "", faults=faults.sentences)


def draw_apart(report: Report) -> Drawing:
    """Draw in a process of its own, as ``draw`` does: where memory is scarce that process is ended, and not the run."""
    return contained(
        "the charts",
        lambda: run(_draw_first_to_go, report, limits=Limits(seconds=_DRAWING_S)),
        lambda reason: Drawing(figures=[], faults=[reason]),
    )


def figures(report: Report) -> list[Figure]:
    """Every figure for which there is something to show; a panel for each target and batch size."""
    return draw(report).figures


@cache
def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script that needs nothing else."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;")
    return bundle


def _draw_first_to_go(report: Report) -> Drawing:
    with suppress(OSError):  # where the system has such a file: of all processes, it ends this one first
        Path("/proc/self/oom_score_adj").write_text("1000")
    return draw(report)


def _kinds(report: Report) -> list[tuple[str, str, str, Callable[[], Iterable[Panel | None]]]]:
    """Section, title, caption and panels of each kind of figure; panels are made when they are asked for."""
    groups = compared(report)
    axes = [] if report.factors is None else report.factors.axes
    return [
        (
            FACTORS,
            f"{FACTORS}, axis by axis",
            chart_factors.CAPTION,
            lambda: map(chart_factors.factor_panel, axes),
        ),
        (RESULTS, "Speed-up", chart_speedup.CAPTION, lambda: map(chart_speedup.speedup_panel, groups)),
        (SEARCH, "Speed-up against drift", chart_search.CAPTION, lambda: [chart_search.search_panel(report)]),
        (LADDER, "Throughput by batch size", chart_ladder.CAPTION, lambda: chart_ladder.ladder_panels(report)),
        (
            RESULTS,
            "Accuracy against latency",
            chart_tradeoff.CAPTION,
            lambda: map(chart_tradeoff.tradeoff_panel, groups),
        ),
        (
            RESULTS,
            "Latency distributions",
            chart_distribution.CAPTION,
            lambda: map(chart_distribution.distribution_panel, groups),
        ),
        (
            CHAINS,
            "Sensitivity to quantization",
            chart_sensitivity.CAPTION,
            lambda: map(chart_sensitivity.sensitivity_panel, report.variants),
        ),
        (
            CHAINS,
            "Sensitivity to pruning",
            chart_pruning.CAPTION,
            lambda: map(chart_pruning.pruning_panel, report.variants),
        ),
        (
            RESULTS,
            "Size and memory",
            chart_sizes.CAPTION,
            lambda: [chart_sizes.size_panel(report), *map(chart_sizes.memory_panel, groups)],
        ),
    ]


def _figure(section: str, title: str, caption: str, panels: Callable[[], Iterable[Panel | None]]) -> Figure:
    return Figure(
        section=section, title=title, caption=caption, panels=[panel for panel in panels() if panel is not None]
    )
