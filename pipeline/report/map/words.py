"""The figures of the map in words, for the page and for report.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.results import numbers as show
from pipeline.results.map import EQUAL_DB, MapPlace, Range, VariantMap

NO_STAGE = "as in the baseline"
_MS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the table of a block's places."""

    head: str
    cell: Callable[[MapPlace], str]
    """The cell of a place; empty where nothing is known."""


def columns_of(one: VariantMap) -> list[Column]:
    """The columns in which any place of a map has something to tell, after the place's own name."""
    found = [
        Column(head="stage", cell=lambda place: " + ".join(place.stages) or NO_STAGE),
        Column(head="baseline (ms)", cell=lambda place: milliseconds(place.before_ms)),
        Column(head="variant (ms)", cell=lambda place: milliseconds(place.after_ms)),
        Column(head="saved (ms)", cell=lambda place: saved(place.saved_ms)),
        Column(head="kernel", cell=lambda place: ", ".join(place.kernels)),
        Column(head="own error (dB)", cell=lambda place: decibels(place.own_sqnr_db)),
        Column(head="error so far (dB)", cell=lambda place: decibels(place.sqnr_db)),
        Column(head="range there", cell=lambda place: _range(place.before_range)),
        Column(head="range here", cell=lambda place: _range(place.after_range)),
        Column(head="cause", cell=lambda place: ", ".join(str(cause + 1) for cause in place.causes)),
        Column(head="not compared", cell=lambda place: place.reason or ""),
    ]
    return [column for column in found if any(column.cell(place) for place in one.places)]


def milliseconds(ms: float | None) -> str:
    """A time; empty where it is not known."""
    return "" if ms is None else show.number(ms, _MS)


def saved(ms: float | None) -> str:
    """A time that is saved, with its sign; empty where it is not known."""
    return "" if ms is None else show.signed(ms, _MS)


def decibels(sqnr_db: float | None) -> str:
    """An SQNR without its unit; empty where it is not known."""
    return "" if sqnr_db is None else "equal" if sqnr_db >= EQUAL_DB else show.number(sqnr_db, 1)


def _range(found: Range | None) -> str:
    return "" if found is None else f"{show.short(found.low)} to {show.short(found.high)}"


def nodes_of(places: Sequence[MapPlace], side: Callable[[MapPlace], Sequence[object]]) -> str:
    """How many nodes places have on one side."""
    return show.counted(sum(len(side(place)) for place in places), "node")


def total_ms(times: Sequence[float | None]) -> float | None:
    """The sum of the times that are known; None where none is."""
    known = [ms for ms in times if ms is not None]
    return sum(known) if known else None


def saved_by(places: Sequence[MapPlace]) -> float | None:
    """The time that places save together; None where none is known."""
    return total_ms([place.saved_ms for place in places])
