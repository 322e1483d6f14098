"""The first lines of the page: what to deploy, its four figures, and what lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.plan import BASELINE
from pipeline.report import describe
from pipeline.report.fields import SPEEDUP
from pipeline.report.rows import Row, all_rows
from pipeline.results import numbers as show
from pipeline.results.figures import Accuracy
from pipeline.results.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure of the recommended row."""

    name: str
    value: str
    note: str = ""
    """The figure before, or the interval."""
    verdict: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What to deploy in one line, its figures, and sentences about the choice."""

    title: str
    tiles: list[Tile]
    lines: list[str]


def headline(report: Report) -> Headline:
    """The recommended row in short; where none is recommended, the outcome of the run and why."""
    chosen = report.recommendation
    if chosen is None:
        why = report.why_none or "no reason was recorded"
        reason = [] if why in report.summary else [f"Recommended: none. {describe.ended(why)}"]
        return Headline(title="Nothing to deploy yet", tiles=[], lines=[report.summary, *reason])
    row = next((row for row in all_rows(report) if row.recommended), None)
    batches = {other.result.batch_size for other in all_rows(report) if other.result is not None}
    batch = f", batch {chosen.batch_size}" if batches != {1} else ""
    verb = "Keep" if chosen.variant == BASELINE else "Deploy"
    lost = [f"Next best: {describe.ended(chosen.next_best)}"] if chosen.next_best else []
    return Headline(
        title=f"{verb} {chosen.variant} on {chosen.target}{batch}",
        tiles=[] if row is None else list(_tiles(row, _before(report, row))),
        lines=[describe.ended(chosen.why), *lost],
    )


def _before(report: Report, row: Row) -> Row | None:
    """The row that the recommended one is compared with; None where it is that row itself."""
    speedup = None if row.result is None else row.result.speedup
    if speedup is None:
        return None
    wanted = speedup.reference.variant, speedup.reference.target, speedup.reference.batch_size
    others = [(other, other.result) for other in all_rows(report) if other.result is not None]
    places = {(other.variant.name, result.target, result.batch_size): other for other, result in others}
    return places.get(wanted)


def _tiles(row: Row, before: Row | None) -> Iterator[Tile]:
    result = row.result
    if result is None:
        return
    if result.speedup is not None:
        value, _, interval = SPEEDUP.cell(row)[0].partition(" ")
        yield Tile(name="speed-up", value=value, note=f"95 % interval {interval}", verdict=result.speedup.verdict)
    elif result.latency_ms is not None:
        yield Tile(name="p50", value=f"{show.number(result.latency_ms.p50.value)} ms", note="half of the calls")
    if result.accuracy is not None:
        yield _accuracy(result.accuracy)
    earlier = None if before is None or before.result is None else before.result.peak_memory_bytes
    sizes = (
        ("size on disk", row.variant.size_bytes, None if before is None else before.variant.size_bytes),
        ("memory", result.peak_memory_bytes, earlier),
    )
    for name, size, was in sizes:
        if size is not None:
            note = "" if was is None else f"before {show.megabytes(was)} MB"
            yield Tile(name=name, value=f"{show.megabytes(size)} MB", note=note)


def _accuracy(found: Accuracy) -> Tile:
    before = found.before if found.against == "labels" else None
    return Tile(
        name=found.metric,
        value=show.figure(found.value, found.unit),
        note="" if before is None else f"before {show.figure(before, found.unit)}",
        verdict=found.verdict or "",
    )
