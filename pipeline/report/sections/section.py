"""The form of a section of the report: words and tables, which every format writes in its own way."""

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
    """The word at its beginning, set off from the rest, such as ``failed``."""
    tone: Tone = "neutral"
    """The tone of the word where there is one, else of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    head: str
    """The heading, with its unit in brackets: ``p50 (ms)``."""
    align: Align = "left"
    wraps: bool = False
    """Whether the terminal may break its lines, as it may those of a table's first column."""
    optional: bool = False
    """Whether report.md and report.html show it only where a reader asks for it."""
    hint: str = ""
    """Its meaning in everyday words, where a newcomer needs them."""

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
    """A word that sets the row off from the others, such as ``recommended``."""
    keys: tuple[Any, ...] = ()
    """The values that the page sorts each column by; empty in a table that is not sorted."""
    example: int | None = None
    """The test example that the row is about, by its place: the page shows it where the run has kept it."""


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
    """A piece of a section. Its fields are written in the order of this class."""

    title: str = ""
    lines: Sequence[Line] = ()
    """Sentences: one is a paragraph, several are a list."""
    facts: Sequence[Facts] = ()
    tables: Sequence[Table] = ()
    code: str = ""
    """Text to be copied as it is, such as a command."""
    parts: Sequence[Part] = ()
    folded: bool = False
    """Whether the page hides it behind its title until it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the report."""

    title: str
    notes: Sequence[str] = ()
    """How to read the section, a paragraph each."""
    parts: Sequence[Part] = ()
    """The parts for report.md and report.html."""
    brief: Sequence[Part] = ()
    """The parts for the terminal: titles, lines and tables."""
    folded: bool = False
    """Whether the page hides it behind its title until it is asked for."""


def lines(texts: Iterable[str], tone: Tone = "neutral") -> tuple[Line, ...]:
    """Lines of these sentences, all in one tone."""
    return tuple(Line(text=text, tone=tone) for text in texts)


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> Table:
    """A table with one line in each cell: its first columns are ``words``, the others are figures."""
    columns = [Column(head=head, align="left" if index < words else "right") for index, head in enumerate(heads)]
    return Table(columns=tuple(columns), rows=[TableRow(cells=tuple((cell,) for cell in row)) for row in rows])
