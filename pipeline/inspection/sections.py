"""Tables of words, in the form that the report's sections have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from pipeline.report.sections.section import Column, Table, TableRow

K = TypeVar("K")


def listing(heads: Sequence[str], rows: Iterable[Sequence[str]], wrapping: Collection[int]) -> Table:
    """A table of words; the columns at the places ``wrapping`` may be broken into lines."""
    columns = [Column(head=head, wraps=place in wrapping) for place, head in enumerate(heads)]
    return Table(columns=tuple(columns), rows=[TableRow(cells=tuple((cell,) for cell in row)) for row in rows])


def facts_table(pairs: Iterable[tuple[str, str]]) -> Table:
    """Names with their values."""
    return listing(("", ""), pairs, wrapping=(1,))


def grouped(entries: Iterable[tuple[K, str]]) -> dict[K, list[str]]:
    """The words of all pairs by their keys, in the order in which they came."""
    names: dict[K, list[str]] = {}
    for key, name in entries:
        names.setdefault(key, []).append(name)
    return names
