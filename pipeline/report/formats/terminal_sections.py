"""Prints the sections on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from pipeline.report.formats.printing import STYLES, ascii_only, encodable, say
from pipeline.report.sections.section import Column, Part, Section, Table, TableRow
from pipeline.report.verdicts import TONES
from pipeline.results import numbers as show

_GAP = 2
_NARROWEST = 12
"""Characters that a column keeps whose lines may be broken."""
_WIDEST_NAME = 32


def print_sections(sections: Iterable[Section], console: Console) -> None:
    """Print what each section has for the terminal.

    Columns that do not fit the console's width are left out, which is said below the section's last table. Only the
    first column, and columns that say so, are wrapped. Like tables of one section have columns of one width, so that
    they stand below each other.
    """
    for section in sections:
        tables = [table for part in section.brief for table in part.tables]
        shown = [part for part in section.brief if part.title or part.lines or part.tables]
        for before, part in zip([None, *shown], shown, strict=False):
            if before is None or before.tables or part.title:
                console.print()
            _print_part(part, tables, console)
            if part.tables and part.tables[-1] is tables[-1]:
                _say_left_out(tables, console)


def _print_part(part: Part, tables: Sequence[Table], console: Console) -> None:
    if part.title:
        say(console, part.title, style="bold")
    for line in part.lines:
        say(console, f"{line.word} {line.text}" if line.word else line.text, style=STYLES[line.tone])
    for table in part.tables:
        console.print(_grid(table, tables, console))


def _say_left_out(tables: Sequence[Table], console: Console) -> None:
    """Name the columns for which the console is too narrow."""
    titles: dict[str, None] = {}
    for table in tables:
        _, shown = _layout(table, tables, console)
        titles |= dict.fromkeys(column.title for index, column in enumerate(table.columns) if index not in shown)
    if titles:
        say(
            console,
            f"Left out at {console.width} columns, shown in a wider terminal: {', '.join(titles)}.",
            style="dim",
        )


def _layout(table: Table, tables: Sequence[Table], console: Console) -> tuple[list[int], list[int]]:
    """The characters of each column's longest line, over all tables like this one, and the columns that fit."""
    rows = [row for other in tables if other.columns == table.columns for row in other.rows]
    widths = [_width(column, index, rows) for index, column in enumerate(table.columns)]
    return widths, _fitting(table, widths, console.width)


def _grid(table: Table, tables: Sequence[Table], console: Console) -> Grid:
    """The table, as wide as the tables like it."""
    widths, shown = _layout(table, tables, console)
    in_ascii = ascii_only(console)
    grid = Grid(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for index in shown:
        _add_column(grid, table.columns[index], index, widths[index])
    for row in table.rows:
        grid.add_row(*[_cell(row, index, in_ascii) for index in shown])
    return grid


def _fitting(table: Table, widths: Sequence[int], room: int) -> list[int]:
    """The positions of the columns that fit into so many characters, the least important ones left out first."""
    shown = list(range(len(table.columns)))
    for title in table.dropped_first:
        least = sum(_least_width(table.columns[index], index, widths[index]) for index in shown)
        if least + _GAP * (len(shown) - 1) <= room:
            break
        shown = [index for index in shown if table.columns[index].title != title]
    return shown


def _wraps(column: Column, index: int) -> bool:
    return index == 0 or column.wraps


def _least_width(column: Column, index: int, width: int) -> int:
    return min(width, _NARROWEST) if _wraps(column, index) else width


def _width(column: Column, index: int, rows: Sequence[TableRow]) -> int:
    """The characters of a column's longest line."""
    lines = [line for row in rows for line in _cell_lines(row, index)]
    return max(len(line) for line in [*_head(column).splitlines(), *lines])


def _head(column: Column) -> str:
    """The heading, with its unit on a line of its own."""
    return column.head.replace(" (", "\n(")


def _cell_lines(row: TableRow, index: int) -> tuple[str, ...]:
    lines = row.cells[index] or (show.NONE,)
    return (*lines, row.mark) if row.mark and index == 0 else lines


def _add_column(grid: Grid, column: Column, index: int, width: int) -> None:
    wraps = _wraps(column, index)
    grid.add_column(
        Text(_head(column)),
        justify=column.align,
        overflow="fold",
        no_wrap=not wraps,
        min_width=_least_width(column, index, width),
        max_width=min(width, _WIDEST_NAME) if index == 0 else width,
        width=None if wraps else width,
    )


def _cell(row: TableRow, index: int, in_ascii: bool) -> Text:
    text = Text()
    for position, line in enumerate(_cell_lines(row, index)):
        text.append("\n" if position else "")
        text.append(encodable(line, in_ascii), style=_style(line, position, first=index == 0))
    return text


def _style(line: str, position: int, *, first: bool) -> str:
    if first:
        return "green" if position else "bold"
    if line in TONES:
        return STYLES[TONES[line]]
    return "dim" if position else ""
