"""Accuracy against latency as a plot of letters, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from pipeline.report.formats.printing import ascii_only, encodable, say
from pipeline.report.rows import Group, groups
from pipeline.report.tradeoff import Kind, RowPoint, Tradeoff, tradeoff_of
from pipeline.results import numbers as show
from pipeline.results.report import Report

_LINES = 11
_WIDEST = 100
_FEWEST_POINTS = 2
_NARROWEST = 40
"""Letters that a plot needs for itself; a narrower terminal gets none."""
_MARKS: Mapping[Kind, str] = {"on the Pareto front": "◆", "not on the front": "○", "beyond the edge": "▲"}
_IN_ASCII = {"◆": "#", "○": "o", "▲": "^", "│": "|", "└": "+", "─": "-", "┬": "+", "┄": "."}
_STYLES: Mapping[Kind, str] = {"on the Pareto front": "blue", "not on the front": "", "beyond the edge": "yellow"}
_MARGIN = "margin"


def print_front(report: Report, console: Console) -> None:
    """Plot the recommended row's group, or the first one; nothing where nobody would see it: into a file or a pipe, or
    where it has no two points."""
    group = _shown(groups(report))
    found = None if group is None or not console.is_terminal else tradeoff_of(group)
    if found is None or len(found.points) < _FEWEST_POINTS or console.width < _NARROWEST:
        return
    say(console, f"{found.title} against p50 (ms a call); up and left is better", style="bold")
    in_ascii = ascii_only(console)
    for line in _plotted(found, min(console.width, _WIDEST) - 1):
        console.print(_without_symbols(line) if in_ascii else line, no_wrap=True, overflow="crop")
    kinds = dict.fromkeys(point.kind for point in found.points)
    legend = ", ".join(f"{_MARKS[kind]} {kind}" for kind in _MARKS if kind in kinds)
    say(console, _in_ascii(legend) if in_ascii else legend, style="dim")
    console.print()


def _shown(found: Sequence[Group]) -> Group | None:
    chosen = (group for group in found if any(row.recommended for row in group.rows))
    return next(chosen, next(iter(found), None))


def _plotted(found: Tradeoff, width: int) -> list[Text]:
    """The plot's lines, with both axes."""
    labels = _labels(found)
    gutter = max(map(len, labels.values())) + 1
    plot = _Plot(width=width - gutter - 1)
    if found.limit is not None:
        plot.rule(_line_of(found, found.limit))
    # The most important names find a place first.
    ordered = sorted(found.points, key=lambda point: (not point.recommended, point.kind == "not on the front"))
    places = [(plot.column(found.frame.across(point.p50)), _line_of(found, point.accuracy)) for point in ordered]
    for point, (column, line) in zip(ordered, places, strict=True):
        plot.put(column, line, _MARKS[point.kind], _style(point))
    for point, (column, line) in zip(ordered, places, strict=True):
        name = point.figures if point.kind == "beyond the edge" else point.name
        plot.name(column, line, encodable(name, in_ascii=False), _style(point))
    rows = [
        Text.assemble((f"{labels.get(number, ''):>{gutter - 1}} │", "dim"), *line)
        for number, line in enumerate(plot.lines)
    ]
    ticks = {plot.column(found.frame.across(tick)): show.number(tick) for tick in found.frame.ticks}
    return [*rows, *_axis(ticks, gutter, plot.width)]


def _labels(found: Tradeoff) -> dict[int, str]:
    """What stands at the left of some lines: the figures of the ends and of the margin."""
    frame = found.frame
    values = [frame.top, frame.bottom, *([] if found.limit is None else [found.limit])]
    return {_line_of(found, value): f"{value:.4g}" for value in values}


def _line_of(found: Tradeoff, accuracy: float) -> int:
    return round((_LINES - 1) * found.frame.down(accuracy))


def _style(point: RowPoint) -> str:
    return "bold green" if point.recommended else _STYLES[point.kind]


def _axis(ticks: Mapping[int, str], gutter: int, width: int) -> list[Text]:
    line = "".join("┬" if column in ticks else "─" for column in range(width))
    told = ""
    for column, tick in sorted(ticks.items()):
        start = column - len(tick) // 2
        if start > len(told) and start + len(tick) <= width:
            told = f"{told:<{start}}{tick}"
    return [Text(f"{'':>{gutter}}└{line}", style="dim"), Text(f"{'':>{gutter + 1}}{told}", style="dim")]


@dataclass(slots=True)
class _Plot:
    """Letters, each with its style."""

    width: int
    lines: list[list[tuple[str, str]]] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = [[(" ", "")] * self.width for _ in range(_LINES)]

    def column(self, across: float) -> int:
        """The column of a place between left (0) and right (1)."""
        return round((self.width - 1) * across)

    def put(self, column: int, line: int, letters: str, style: str) -> None:
        """Write letters, from a column on."""
        self.lines[line][column : column + len(letters)] = [(letter, style) for letter in letters]

    def rule(self, line: int) -> None:
        """A line across, which names may lie on."""
        self.put(0, line, "┄" * (self.width - len(_MARGIN) - 1) + f" {_MARGIN}", "dim yellow")

    def name(self, column: int, line: int, name: str, style: str) -> None:
        """Write a point's name beside it, or in a line next to it; nowhere where there is no room."""
        right, left = column + 2, column - 1 - len(name)
        for start, at in [(right, line), (left, line), *((x, y) for y in (line - 1, line + 1) for x in (right, left))]:
            if self._is_free(start - 1, at, len(name) + 2):
                self.put(start, at, name, style)
                return

    def _is_free(self, start: int, line: int, length: int) -> bool:
        if not (0 <= line < _LINES and start >= -1 and start + length <= self.width + 1):
            return False
        taken = self.lines[line][max(start, 0) : start + length]
        return all(letter in (" ", "┄") for letter, _ in taken)


def _without_symbols(text: Text) -> Text:
    plain = _in_ascii(text.plain)
    return Text(plain, spans=list(text.spans), style=text.style)


def _in_ascii(text: str) -> str:
    return encodable("".join(_IN_ASCII.get(letter, letter) for letter in text), in_ascii=True)
