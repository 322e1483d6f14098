"""The deadline: does a call end in time, often enough?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.report.rows import Row, all_rows
from pipeline.report.sections.section import Part, Section, Table, grid, lines
from pipeline.results import numbers as show
from pipeline.results.figures import Deadline, Latency
from pipeline.results.report import Report

TITLE = "The deadline"


def deadline(report: Report) -> Section | None:
    """A line for each row that was timed, where ``measure.deadline_ms`` is set."""
    found = [(row, one, one.deadline) for row in all_rows(report) if (one := _latency(row)) and one.deadline]
    if not found or report.measure.deadline_ms is None:
        return None
    limit, share = show.short(report.measure.deadline_ms), _exact(report.measure.deadline_share)
    notes = [
        f"Does a call end within {limit} ms, in {share} of all calls? IN TIME: the whole 95 % interval of the misses "
        "allows it. LATE: no part of it does. The longest gap is the longest call."
    ]
    table = _table(f"within {limit} ms in {share}", found)
    unknown = lines([text for row, one, kept in found for text in _unknown(row, one, kept)], "caution")
    return Section(
        title=TITLE,
        notes=notes,
        parts=[Part(tables=[table], lines=unknown)],
        brief=[Part(title=TITLE, tables=[table]), Part(lines=unknown)],
    )


def _latency(row: Row) -> Latency | None:
    return None if row.result is None else row.result.latency_ms


def _table(asked: str, found: Sequence[tuple[Row, Latency, Deadline]]) -> Table:
    heads = ("variant", "measured on", asked, "misses (%)", "longest gap (ms)", "calls")
    rows = [
        (row.variant.name, row.place, kept.verdict, _misses(one), show.number(kept.longest_ms), show.count(one.calls))
        for row, one, kept in found
    ]
    return replace(grid(heads, rows, words=3), dropped_first=("calls", "measured on"))


def _misses(latency: Latency) -> str:
    share = latency.deadline_misses
    if share is None or share.low is None or share.high is None:
        return show.NONE
    return f"{show.number(100 * share.value, 3)} {show.interval(100 * share.low, 100 * share.high, 3)}"


def _unknown(row: Row, latency: Latency, kept: Deadline) -> list[str]:
    if kept.verdict != "NOT KNOWN":
        return []
    settle = "no number of calls would tell" if kept.calls_to_settle is None else _settle(kept.calls_to_settle)
    return [f"{row.variant.name} on {row.place}: not known after {show.count(latency.calls)} calls; {settle}."]


def _settle(calls: int) -> str:
    return f"about {show.count(calls)} would tell (measure.blocks, measure.budget_s)"


def _exact(share: float) -> str:
    return f"{100 * share:g} %"
