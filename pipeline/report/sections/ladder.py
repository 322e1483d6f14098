"""Throughput by batch size, and the batch size from which on a larger one no longer pays, for every format alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline import numbers as show
from pipeline.intervals import Quantile
from pipeline.ladder_results import Ladder, Rung
from pipeline.report.rows import all_rows
from pipeline.results import Report, Result

TITLE = "Batch sizes"
NOTE = (
    "All batch sizes were timed in the same rounds, one call after the other. Saturated is the smallest batch size "
    "whose throughput certainly comes within 5 % of the best one's: a larger batch takes longer, needs more memory and "
    "gives hardly more. Shares of a peak are those of the median call, as in the table of the machine's limit. In "
    "brackets: 95 % intervals."
)
BATCH, DEVICE = "batch", "device alone (1/s)"
HEADINGS = (BATCH, "p50 (ms)", "examples (1/s)", DEVICE, "of the best", "of the products' peak", "of the copy's")


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderTable:
    """One variant on one target."""

    title: str
    sentence: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]


def ladder_tables(report: Report) -> list[LadderTable]:
    """A table for every ladder, in the report's order; the device's own rate where there is one."""
    rows = {
        (row.variant.name, row.result.target, row.result.batch_size): row.result
        for row in all_rows(report)
        if row.result is not None
    }
    tables = []
    for ladder in report.ladders:
        results = [rows[ladder.variant, ladder.target, rung.batch_size] for rung in ladder.rungs]
        without = DEVICE if all(result.device_ms is None for result in results) else None
        shown = [head != without for head in HEADINGS]
        cells = [_cells(rung, result) for rung, result in zip(ladder.rungs, results, strict=True)]
        tables.append(
            LadderTable(
                title=f"{ladder.variant} on {ladder.target}",
                sentence=_capitalised(sentence(ladder)),
                heads=_chosen(HEADINGS, shown),
                rows=[_chosen(line, shown) for line in cells],
            )
        )
    return tables


def brief(report: Report) -> list[str]:
    """A line for each ladder, for the terminal."""
    return [f"Batch sizes, {ladder.variant} on {ladder.target}: {sentence(ladder)}" for ladder in report.ladders]


def sentence(ladder: Ladder) -> str:
    """Where it saturates, and what is not certain about it."""
    best = next(rung for rung in ladder.rungs if rung.batch_size == ladder.best)
    last = ladder.rungs[-1]
    highest = f"the best, {show.short(best.throughput.value)} examples/s at batch {best.batch_size}"
    if ladder.saturates_at is None:
        found = f"throughput still grows at batch {last.batch_size}, the largest one measured: {highest}"
    else:
        found = f"saturated at batch {ladder.saturates_at} ({highest})"
    if ladder.perhaps_at != (ladder.saturates_at or last.batch_size):
        found += f"; perhaps at batch {ladder.perhaps_at} already, the interval leaves that open"
    if last.of_best is not None and last.of_best.high < 1:
        found += f"; batch {last.batch_size} reaches {_percent(last.of_best.value)} of it"
    caution = " The run is NOISY: not to be relied on." if ladder.noisy else ""
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
    """``1,234 [1,230, 1,238]``."""
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
