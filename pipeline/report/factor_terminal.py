"""The four factors on the terminal: the ranking, and a small table of each axis."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from pipeline import numbers as show
from pipeline.factor_results import Axis, Factors
from pipeline.report.sections.factors import (
    BRIEF_COLUMNS,
    TITLE,
    Lines,
    axis_sentence,
    axis_title,
    cells,
    introduction,
)

_GAP = 2
_RIGHT = frozenset({"at", "ms per example"})


def factor_parts(factors: Factors, encodable: Callable[[str], str]) -> list[RenderableType]:
    """What to print, in order; ``encodable`` turns text into what the terminal can show."""
    parts: list[RenderableType] = [Text(encodable(TITLE), style="bold")]
    parts += [Text(encodable(line)) for line in introduction(factors)]
    tables = [(axis, [[_one_line(cell) for cell in row] for row in cells(axis, brief=True)]) for axis in factors.axes]
    widths = [
        max([len(header), *(len(row[column]) for _, rows in tables for row in rows)])
        for column, header in enumerate(BRIEF_COLUMNS)
    ]
    for axis, rows in tables:
        parts += [Text(""), _heading(axis, encodable), _table(rows, widths, encodable)]
    return parts


def _heading(axis: Axis, encodable: Callable[[str], str]) -> Text:
    heading = Text(encodable(axis_title(axis)), style="bold")
    sentence = axis_sentence(axis)
    return heading.append(encodable(f". {sentence}"), style="not bold") if sentence else heading


def _table(rows: list[list[str]], widths: list[int], encodable: Callable[[str], str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for name, width in zip(BRIEF_COLUMNS, widths, strict=True):
        last = name == BRIEF_COLUMNS[-1]
        justify = "right" if name in _RIGHT else "left"
        table.add_column(name, justify=justify, min_width=None if last else width, no_wrap=not last)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*[Text(encodable(cell)) for cell in row])
    return table


def _one_line(lines: Lines) -> str:
    if len(lines) == 2 and lines[1] == "base row":
        return f"{lines[0]} (base row)"
    return ", ".join(lines) or show.NONE
