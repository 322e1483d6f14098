"""The charts of report.html, drawn as SVG from descriptions for Vega-Lite."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipeline.errors.contained import Faults, contained
from pipeline.isolated import Limits, run
from pipeline.report.charts import (
    distribution,
    factors,
    ladder,
    pruning,
    search,
    sensitivity,
    sizes,
    speedup,
    tradeoff,
)
from pipeline.report.charts.drawing import Panel
from pipeline.report.charts.picture import pictured
from pipeline.report.rows import Group, compared
from pipeline.report.sections.chains import TITLE as CHAINS
from pipeline.report.sections.factors import TITLE as FACTORS
from pipeline.report.sections.ladder import TITLE as LADDER
from pipeline.report.sections.results import TITLE as RESULTS
from pipeline.report.sections.search import TITLE as SEARCH
from pipeline.report.sections.spread import TITLE as SPREAD
from pipeline.results.report import Report

T = TypeVar("T")
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
    """All figures of a report with their images; empty where there is nothing to draw."""

    figures: list[Figure]
    faults: list[str] = field(default_factory=list)
    """The figures that could not be drawn, and why, a sentence each without its full stop."""


def draw(report: Report) -> Drawing:
    """Every figure for which there is something to show, each by itself, with its images."""
    faults = Faults()
    found = [faults.contain(f"the charts '{kind.title}'", partial(_drawn, kind), None) for kind in _kinds(report)]
    return Drawing(figures=[figure for figure in found if figure is not None], faults=faults.sentences)


def draw_apart(report: Report) -> Drawing:
    """Draw in a process of its own, as ``draw`` does: where memory is scarce that process is ended, and not the run."""
    return drawn_apart("the charts", draw, report)


def drawn_apart(part: str, draw_all: Callable[[T], Drawing], subject: T) -> Drawing:
    """What ``draw_all`` makes of a subject, in a process of its own; where that fails, a drawing with the reason."""
    return contained(
        part,
        lambda: run(_draw_first_to_go, draw_all, subject, limits=Limits(seconds=_DRAWING_S)),
        lambda reason: Drawing(figures=[], faults=[reason]),
    )


def figures(report: Report) -> list[Figure]:
    """Every figure for which there is something to show, without images; a panel for each target and batch size."""
    found = [_figure(kind) for kind in _kinds(report)]
    return [figure for figure in found if figure.panels]


def _draw_first_to_go(draw_all: Callable[[T], Drawing], subject: T) -> Drawing:
    with suppress(OSError):  # where the system has such a file: of all processes, it ends this one first
        Path("/proc/self/oom_score_adj").write_text("1000")
    return draw_all(subject)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of figure; its panels are made when they are asked for."""

    section: str
    title: str
    caption: str
    panels: Callable[[], Iterable[Panel | None]]


def _kinds(report: Report) -> list[_Kind]:
    groups = _leading_first(report)
    first, others = groups[:1], [group for group in groups[1:] if len(group.rows) > 1]
    compared_here = [] if report.ladders else groups  # batch sizes have a chart of all speed-ups
    axes = [] if report.factors is None else report.factors.axes
    title = "Accuracy against latency"
    return [
        _Kind(FACTORS, f"{FACTORS}, axis by axis", factors.CAPTION, lambda: map(factors.factor_panel, axes)),
        _Kind(RESULTS, title, tradeoff.CAPTION, lambda: map(tradeoff.tradeoff_panel, first)),
        _Kind(SEARCH, "Speed-up against drift", search.CAPTION, lambda: [search.search_panel(report)]),
        _Kind(LADDER, "By batch size", ladder.CAPTION, lambda: ladder.ladder_panels(report)),
        _Kind(SPREAD, "Speed-up", speedup.CAPTION, lambda: map(speedup.speedup_panel, compared_here)),
        _Kind(SPREAD, f"{title}, elsewhere", tradeoff.CAPTION, lambda: map(tradeoff.tradeoff_panel, others)),
        _Kind(
            SPREAD,
            "Latency distributions",
            distribution.CAPTION,
            lambda: map(distribution.distribution_panel, groups),
        ),
        _Kind(
            CHAINS,
            "Sensitivity to quantization",
            sensitivity.CAPTION,
            lambda: map(sensitivity.sensitivity_panel, report.variants),
        ),
        _Kind(CHAINS, "Sensitivity to pruning", pruning.CAPTION, lambda: map(pruning.pruning_panel, report.variants)),
        _Kind(
            SPREAD,
            "Size and memory",
            sizes.CAPTION,
            lambda: [sizes.size_panel(report), *map(sizes.memory_panel, groups)],
        ),
    ]


def _leading_first(report: Report) -> list[Group]:
    """The groups of rows that are drawn, the recommended row's first. Where batch sizes have a chart of their own, one
    group of each target is enough."""
    groups = sorted(compared(report), key=lambda group: not any(row.recommended for row in group.rows))
    if not report.ladders:
        return groups
    return list({group.target: group for group in reversed(groups)}.values())[::-1]


def _figure(kind: _Kind) -> Figure:
    panels = [panel for panel in kind.panels() if panel is not None]
    return Figure(section=kind.section, title=kind.title, caption=kind.caption, panels=panels)


def _drawn(kind: _Kind) -> Figure | None:
    figure = _figure(kind)
    return replace(figure, panels=[pictured(panel) for panel in figure.panels]) if figure.panels else None
