"""The table of MLPerf's scenarios in the terminal, where they were asked for."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.report.printing import STYLES, ascii_only, encodable, say
from pipeline.report.sections.scenarios import FIGURES, LABELS, TITLE, ScenarioLine, scenario_lines, scenario_notes
from pipeline.results import Report

_GAP = 2
_DROPPED_FIRST = ("queries", "p90 (ms)", "samples (1/s)", "p50 (ms)")
"""The columns that a narrow terminal does without; the files have them."""


def print_scenarios(report: Report, console: Console) -> None:
    """Print a line for each row and scenario, and what there is to say about them; nothing where there are none."""
    lines = scenario_lines(report)
    if not lines:
        return
    say(console, TITLE, style="bold")
    console.print(_table(lines, fitting_figures(lines, console.width), ascii_only(console)))
    console.print()
    for note in scenario_notes(report):
        say(console, note, style="dim")
    console.print()


def fitting_figures(lines: Sequence[ScenarioLine], width: int) -> list[str]:
    """The headings of the figures that fit the width, the least important left out first."""
    figures = list(FIGURES)
    for title in _DROPPED_FIRST:
        if _least_width(lines, figures) <= width:
            break
        figures.remove(title)
    return figures


def _least_width(lines: Sequence[ScenarioLine], figures: Sequence[str]) -> int:
    columns = [[title, *(line.labels[index] for line in lines)] for index, title in enumerate(LABELS)]
    for title in figures:
        heading = title.split(" (")
        columns.append([*heading, *(_figure(line, title) for line in lines)])
    return sum(max(map(len, column)) for column in columns) + _GAP * (len(columns) - 1)


def _table(lines: Sequence[ScenarioLine], figures: Sequence[str], in_ascii: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for title in LABELS:
        table.add_column(Text(title), overflow="fold")
    for title in figures:
        table.add_column(Text(title.replace(" (", "\n(")), justify="right", no_wrap=True)
    for line in lines:
        verdict = Text(line.verdict, style=STYLES[line.tone])
        labels = [Text(encodable(label, in_ascii)) for label in line.labels[:-1]]
        table.add_row(*labels, verdict, *[encodable(_figure(line, title), in_ascii) for title in figures])
    return table


def _figure(line: ScenarioLine, title: str) -> str:
    return line.figures[FIGURES.index(title)]
