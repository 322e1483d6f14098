"""Throughput by batch size, and the batch size from which on a larger one no longer pays."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pipeline.report.rows import all_rows
from pipeline.report.sections.section import Part, Section, grid, lines
from pipeline.results import numbers as show
from pipeline.results.intervals import Quantile
from pipeline.results.ladder import Ladder, Rung
from pipeline.results.report import Report, Result

TITLE = "Batch sizes"
NOTE = (
    "All batch sizes were timed in the same rounds, one call after the other. Saturated is the smallest batch size "
    "whose throughput certainly comes within 5 % of the best one's: a larger batch takes longer, needs more memory and "
    "gives hardly more. Shares of a peak are those of the median call, as in the table of the machine's limit. In "
    "brackets: 95 % intervals."
)
BATCH, DEVICE = "batch", "device alone (1/s)"
HEADINGS = (BATCH, "p50 (ms)", "examples (1/s)", DEVICE, "of the best", "of the products' peak", "of the copy's")


def ladder(report: Report) -> Section | None:
    """A table for every ladder, in the report's order; the terminal has a line for each."""
    if not report.ladders:
        return None
    rows = {
        (row.variant.name, row.result.target, row.result.batch_size): row.result
        for row in all_rows(report)
        if row.result is not None
    }
    brief = [f"{TITLE}, {_name(climbed)}: {sentence(climbed)}" for climbed in report.ladders]
    return Section(
        title=TITLE,
        notes=[NOTE],
        parts=[_part(climbed, rows) for climbed in report.ladders],
        brief=[Part(lines=lines(brief))],
    )


def _part(climbed: Ladder, rows: Mapping[tuple[str, str, int], Result]) -> Part:
    """The device's own rate has a column where there is one."""
    results = [rows[climbed.variant, climbed.target, rung.batch_size] for rung in climbed.rungs]
    without = DEVICE if all(result.device_ms is None for result in results) else None
    shown = [head != without for head in HEADINGS]
    cells = [_cells(rung, result) for rung, result in zip(climbed.rungs, results, strict=True)]
    return Part(
        title=_name(climbed),
        lines=lines([_capitalised(sentence(climbed))]),
        tables=[grid(_chosen(HEADINGS, shown), [_chosen(line, shown) for line in cells], words=0)],
    )


def _name(climbed: Ladder) -> str:
    return f"{climbed.variant} on {climbed.target}"


def sentence(climbed: Ladder) -> str:
    """The batch size where it saturates, and what is not certain about it."""
    best = next(rung for rung in climbed.rungs if rung.batch_size == climbed.best)
    last = climbed.rungs[-1]
    highest = f"the best, {show.short(best.throughput.value)} examples/s at batch {best.batch_size}"
    if climbed.saturates_at is None:
        found = f"throughput still grows at batch {last.batch_size}, the largest one measured: {highest}"
    else:
        found = f"saturated at batch {climbed.saturates_at} ({highest})"
    if climbed.perhaps_at != (climbed.saturates_at or last.batch_size):
        found += f"; perhaps at batch {climbed.perhaps_at} already, the interval leaves that open"
    if last.of_best is not None and last.of_best.high < 1:
        found += f"; batch {last.batch_size} reaches {_percent(last.of_best.value)} of it"
    caution = " The run is NOISY: not to be relied on." if climbed.noisy else ""
    return f"{found}.{caution}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cells(rung: Rung, result: Result) -> tuple[str, ...]:
    share, limits = rung.of_best, result.limits
    return (
        show.count(rung.batch_size),
        show.NONE if result.latency_ms is None else with_interval(result.latency_ms.p50),
        with_interval(rung.throughput),
        show.NONE if result.device_ms is None else show.short(1e3 * rung.batch_size / result.device_ms.value),
        "best" if share is None else f"{_percent(share.value)} [{_bound(share.low)}, {_bound(share.high)}]",
        show.NONE if limits is None else _percent(limits.compute_share),
        show.NONE if limits is None else _percent(limits.memory_share),
    )


def with_interval(found: Quantile) -> str:
    """A throughput with its interval: ``1,234 [1,230, 1,238]``."""
    places = show.decimals_for(found.value)
    text = show.number(found.value, places)
    if found.low is None or found.high is None:
        return text
    return f"{text} {show.interval(found.low, found.high, places)}"


def _percent(share: float | None) -> str:
    return show.NONE if share is None else f"{show.number(100 * share, 1)} %"


def _bound(share: float) -> str:
    return show.number(100 * share, 1) if math.isfinite(share) else show.INFINITE


def _chosen(cells: tuple[str, ...], shown: list[bool]) -> tuple[str, ...]:
    return tuple(cell for cell, wanted in zip(cells, shown, strict=True) if wanted)
