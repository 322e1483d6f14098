"""From which batch size on does a larger batch no longer pay?

All batch sizes of a run are timed in the same rounds, interleaved, so that two of them are compared like any two rows:
by the ratio within a block. Throughput at a batch size is taken as a share of the best one's; where the whole interval
lies above 95 %, larger batches have nothing more to give that would be worth their latency and memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pipeline.analyse.cells import Cells, differences_by_round
from pipeline.analyse.speed import throughput
from pipeline.ladder_results import Ladder, Rung, Share
from pipeline.plan import MeasureSettings
from pipeline.record import SubjectRecord
from pipeline.statistics.latency import paired_ratio, rate_over_rounds

NEAR = 0.95
"""A throughput of at least this share of the best counts as being there."""
_FEWEST = 3
"""With fewer batch sizes there is no ladder to speak of."""
_ALPHA = 0.05


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
    best = max(subjects, key=lambda subject: throughput(cells[subject.key], subject.batch_size))
    rungs = [_rung(subject, best, cells, measure) for subject in subjects]
    sure = next(rung.batch_size for rung in rungs if _least(rung, best) >= NEAR)
    perhaps = next(rung.batch_size for rung in rungs if _most(rung, best) >= NEAR)
    return Ladder(
        variant=best.variant,
        target=best.target,
        rungs=rungs,
        best=best.batch_size,
        saturates_at=None if sure == rungs[-1].batch_size else sure,
        perhaps_at=perhaps,
        noisy=any(subject.key in noisy for subject in subjects),
    )


def _rung(subject: SubjectRecord, best: SubjectRecord, cells: Mapping[str, Cells], measure: MeasureSettings) -> Rung:
    return Rung(
        batch_size=subject.batch_size,
        throughput=rate_over_rounds(cells[subject.key].calls_ms, subject.batch_size, _ALPHA),
        of_best=None if subject is best else _share(subject, best, cells, measure),
    )


def _share(
    subject: SubjectRecord, best: SubjectRecord, cells: Mapping[str, Cells], measure: MeasureSettings
) -> Share | None:
    differences = differences_by_round(cells[subject.key], cells[best.key])
    if not differences:
        return None
    found = paired_ratio(differences, measure.look_alpha)
    examples = subject.batch_size / best.batch_size
    return Share(value=examples * found.value, low=examples * found.low, high=examples * found.high)


def _least(rung: Rung, best: SubjectRecord) -> float:
    if rung.batch_size == best.batch_size:
        return 1.0
    return 0.0 if rung.of_best is None else rung.of_best.low


def _most(rung: Rung, best: SubjectRecord) -> float:
    if rung.batch_size == best.batch_size:
        return 1.0
    return 1.0 if rung.of_best is None else rung.of_best.high
