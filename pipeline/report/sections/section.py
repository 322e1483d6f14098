"""What a section of the report is: words and tables that every format writes in its own way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.report.verdicts import Tone

Align = Literal["left", "right"]
Cell = tuple[str, ...]
"""A table's cell, line by line; empty where there is no value. Lines that are verdicts get their tone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A sentence, or an entry of a list."""

    text: str
    word: str = ""
    """What it begins with, set off from the rest, such as ``failed``."""
    tone: Tone = "neutral"
    """Of the word where there is one, else of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    head: str
    """With its unit in brackets: ``p50 (ms)``."""
    align: Align = "left"
    wraps: bool = False
    """Whether the terminal may break its lines, as it may those of a table's first column."""

    @property
    def title(self) -> str:
        """The head without its unit."""
        return self.head.partition(" (")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One row of a table."""

    cells: tuple[Cell, ...]
    """A cell for each column; the first one names the row."""
    mark: str = ""
    """What sets the row off from the others, such as ``recommended``."""
    keys: tuple[Any, ...] = ()
    """What the page sorts each column by; empty in a table that is not sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table, which is never empty."""

    columns: tuple[Column, ...]
    rows: Sequence[TableRow]
    dropped_first: tuple[str, ...] = ()
    """Titles of the columns that a narrow terminal does without, the least important one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Names with their values in words."""

    pairs: Sequence[tuple[str, str]]
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of a section. Its fields are written in the order in which they stand here."""

    title: str = ""
    lines: Sequence[Line] = ()
    """One is a paragraph, several are a list."""
    facts: Sequence[Facts] = ()
    tables: Sequence[Table] = ()
    code: str = ""
    """What is to be copied as it is, such as a command."""
    parts: Sequence[Part] = ()
    folded: bool = False
    """Whether the page hides it behind its title until it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the report."""

    title: str
    notes: Sequence[str] = ()
    """How to read it, a paragraph each."""
    parts: Sequence[Part] = ()
    """What report.md and report.html have of it."""
    brief: Sequence[Part] = ()
    """What the terminal has of it: titles, lines and tables."""


def lines(texts: Iterable[str], tone: Tone = "neutral") -> tuple[Line, ...]:
    """These sentences, all in one tone."""
    return tuple(Line(text=text, tone=tone) for text in texts)


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> Table:
    """A table of one line a cell: its first columns are ``words``, the others are figures."""
    columns = [Column(head=head, align="left" if index < words else "right") for index, head in enumerate(heads)]
    return Table(columns=tuple(columns), rows=[TableRow(cells=tuple((cell,) for cell in row)) for row in rows])
