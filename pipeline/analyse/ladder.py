"""From which batch size on does a larger batch no longer pay?

All batch sizes of a run are timed in the same rounds, interleaved, so that two of them are compared like any two rows:
by the ratio within a block. The throughput at a batch size is given as a share of the best throughput. Where the whole
interval lies above 95 %, a larger batch gains nothing that would be worth its latency and memory.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from pipeline.analyse.cells import Cells
from pipeline.analyse.speed import ratio_by_blocks, throughput
from pipeline.plan import MeasureSettings
from pipeline.results.intervals import Ratio
from pipeline.results.ladder import Ladder, Rung
from pipeline.results.record import SubjectRecord

NEAR = 0.95
"""A batch size whose throughput is at least this share of the best one's counts as being there."""
_FEWEST = 3
"""The fewest batch sizes of a ladder."""


def ladders(
    subjects: Sequence[SubjectRecord],
    cells: Mapping[str, Cells],
    measure: MeasureSettings,
    noisy: Collection[str],
) -> list[Ladder]:
    """Every variant on every target that was timed at three batch sizes or more; ``noisy`` names rows by subject."""
    found: dict[tuple[str, str], list[SubjectRecord]] = {}
    for subject in subjects:
        if subject.key in cells:
            found.setdefault((subject.variant, subject.target), []).append(subject)
    return [
        _ladder(sorted(mine, key=lambda subject: subject.batch_size), cells, measure, noisy)
        for mine in found.values()
        if len(mine) >= _FEWEST
    ]


def _ladder(
    subjects: Sequence[SubjectRecord], cells: Mapping[str, Cells], measure: MeasureSettings, noisy: Collection[str]
) -> Ladder:
    rates = {subject.key: throughput(cells[subject.key], subject.batch_size) for subject in subjects}
    best = max(subjects, key=lambda subject: rates[subject.key].value)

    def share(subject: SubjectRecord) -> Ratio | None:
        examples = subject.batch_size / best.batch_size
        return ratio_by_blocks(cells[subject.key], cells[best.key], measure.look_alpha, examples)

    rungs = [
        Rung(
            batch_size=subject.batch_size,
            throughput=rates[subject.key],
            of_best=None if subject is best else share(subject),
        )
        for subject in subjects
    ]
    bounds = {rung.batch_size: _bounds(rung, best.batch_size) for rung in rungs}
    sure = next(size for size, (low, _) in bounds.items() if low >= NEAR)
    return Ladder(
        variant=best.variant,
        target=best.target,
        rungs=rungs,
        best=best.batch_size,
        saturates_at=None if sure == rungs[-1].batch_size else sure,
        perhaps_at=next(size for size, (_, high) in bounds.items() if high >= NEAR),
        noisy=any(subject.key in noisy for subject in subjects),
    )


def _bounds(rung: Rung, best: int) -> tuple[float, float]:
    """The bounds of its share of the best; any share where the two were not timed together."""
    if rung.batch_size == best:
        return 1.0, 1.0
    return (0.0, math.inf) if rung.of_best is None else (rung.of_best.low, rung.of_best.high)
