"""A field of a row: a column of the tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.report.rows import Row

Lines = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column of the tables.

    ``columns`` maps the name of each of its raw values to the attribute that holds it, from ``variant`` (VariantResult)
    or ``result`` (Result) on. A figure's name ends with its unit; the ends of its interval and its verdict have the
    same name with ``_low``, ``_high`` and ``_verdict`` behind it, and report.csv goes by that
    (``pipeline.report.tidy``). ``lines`` takes the values in order; it is not called where the first is missing.
    ``brief`` gives the lines for the terminal, where they differ.
    """

    title: str
    columns: Mapping[str, str]
    lines: Callable[..., Lines]
    brief: Callable[..., Lines] | None = None
    unit: str = ""
    shown: Literal["terminal", "page", "data"] = "page"
    """The places that show it. ``terminal``: everywhere; ``page``: report.md and report.html; ``data``: no table. The
    figures of all are in report.csv."""
    align: Literal["left", "right"] = "right"
    decides: bool = False
    """Whether the page and report.md show it without being asked: the few columns that a decision takes."""
    hint: str = ""
    """Its meaning in everyday words, where a newcomer needs them."""

    @property
    def header(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def values(self, row: Row) -> list[Any]:
        """The raw values, one for each name; None where there is none (or it isn't finite)."""
        return [read(row, path) for path in self.columns.values()]

    def cell(self, row: Row, *, brief: bool = False) -> Lines:
        """The lines of a row's cell; none where there is no value."""
        values = self.values(row)
        if values[0] is None:
            return ()
        lines = self.brief if brief and self.brief is not None else self.lines
        return lines(*values)


def read(row: Row, path: str) -> Any:
    """The value at a dotted path; None as soon as a part of it is None, and for floats that aren't finite."""
    value: Any = row
    for name in path.split("."):
        value = getattr(value, name)
        if value is None:
            return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
