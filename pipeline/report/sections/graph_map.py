"""The map: where in the graph time goes and errors begin. The page draws it; here it is told by its extremes."""

from __future__ import annotations

from pipeline.report.map.words import decibels, milliseconds
from pipeline.report.sections.section import Part, Section, grid, lines
from pipeline.results.map import MapPlace, VariantMap, worst_of
from pipeline.results.report import Report

TITLE = "The map"
NOTE = (
    "Each variant's graph beside the baseline's, cut where both have the same tensor. An error is the signal above the "
    "error in dB (SQNR), on the same examples, so a smaller figure is worse. The own error of a place is made there: "
    "its nodes read the reference's own values. The error so far is the whole variant's up to there. Times are the "
    "runtime's profile as parts of the row's median call."
)
_HEADINGS = ("variant", "largest own error", "place", "error at the end (dB)", "loses most time", "lost (ms)")


def graph_map(report: Report) -> Section | None:
    """A row for each variant that has a map, and why others have none."""
    if not report.maps:
        return None
    drawn = [one for one in report.maps if one.places]
    told = [f"{one.variant} has no map: {one.reason}." for one in report.maps if one.reason]
    told += [f"{one.variant} has no errors on the map: {one.why_no_error}." for one in drawn if one.why_no_error]
    rows = [_cells(one) for one in drawn]
    tables = [grid(_HEADINGS, rows, words=3)] if rows else []
    return Section(title=TITLE, notes=[NOTE], parts=[Part(tables=tables), Part(lines=lines(told))])


def _cells(one: VariantMap) -> tuple[str, ...]:
    worst, slow = worst_of(one.places), _slowest(one)
    own = "" if worst is None else f"{decibels(worst.own_sqnr_db)} dB"
    lost = None if slow is None or slow.saved_ms is None else -slow.saved_ms
    return (
        one.variant,
        own or "none" if one.why_no_error is None else "not known",
        "" if worst is None else worst.where,
        decibels(one.places[-1].sqnr_db),
        "" if slow is None else slow.where,
        milliseconds(lost),
    )


def _slowest(one: VariantMap) -> MapPlace | None:
    """The place that loses most time; None where none is known to lose any."""
    lost = [place for place in one.places if (place.saved_ms or 0.0) < 0]
    return min(lost, key=lambda place: place.saved_ms or 0.0, default=None)
