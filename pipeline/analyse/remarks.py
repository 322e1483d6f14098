"""The remarks on a row's figures, from what was recorded beside them: a sentence each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.analyse.cells import Cells
from pipeline.errors.contained import Faults
from pipeline.results import numbers as show
from pipeline.results.change import Threads
from pipeline.results.intervals import rounded_up
from pipeline.results.record import CLONE, Record, SubjectRecord, subject_key
from pipeline.results.report import Result
from pipeline.statistics.latency import rounds_interval

DRIFT = 0.10
"""A row whose calls change by less than this from the beginning of a round to its end is steady."""
_OTHER_CALLS = 1.5
"""A steady call that differs by this factor from the one that is told is worth a remark."""
_LEVEL = 0.05
_FEWEST_ROUNDS = 3
_FEWEST_OTHERS = 2
"""What all rows of a block have in common is the machine's doing; with fewer other rows that can't be told."""
_FEWEST_FOR_MEDIAN = 3


def with_remarks(
    record: Record, rows: Mapping[str, list[Result]], cells: Mapping[str, Cells], faults: Faults
) -> dict[str, list[Result]]:
    """The rows by variant; each row that was measured has its remarks added."""
    subjects = {subject.key: subject for subject in record.subjects if subject.status == "ok"}

    def told(name: str, row: Result) -> Result:
        subject = subjects.get(subject_key(name, row.target, row.batch_size))
        if subject is None:
            return row
        found = faults.contain(f"the remarks on {subject.key}", lambda: list(remarks(subject, record, cells)), [])
        return replace(row, remarks=[*row.remarks, *found])

    return {name: [told(name, row) for row in found] for name, found in rows.items()}


def remarks(subject: SubjectRecord, record: Record, cells: Mapping[str, Cells]) -> Iterator[str]:
    """The remarks on one row."""
    target, cores = record.targets[subject.target], record.machine.cores
    threads = target.threads
    if subject.device == "cpu" and cores is not None and threads > cores:
        yield (
            f"{threads} threads share {cores} core{'' if cores == 1 else 's'}, so they wait for each other: try "
            f"{Threads(target=subject.target, threads=cores)}"
        )
    yield from _other_calls(subject, cells)
    found = drift(subject.key, cells)
    if found is not None:
        way = "faster" if found.last_ms < found.first_ms else "slower"
        yield (
            f"its calls became {way} while it ran, in each round: {show.number(found.first_ms)} ms at a round's "
            f"beginning, {show.number(found.last_ms)} ms at its end. Its figures depend on how long it runs: more "
            "warm-up (measure.warmup_ms, measure.warmup_calls) shows the steady ones"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A row's median call in the first and in the last quarter of a round's blocks."""

    first_ms: float
    last_ms: float


def _other_calls(subject: SubjectRecord, cells: Mapping[str, Cells]) -> Iterator[str]:
    """The remark on a row whose timed calls are a model's first ones, while later ones take something else."""
    mine, settling = cells.get(subject.key), subject.settling
    if mine is None or settling is None or not settling["steady_after"]:
        return
    told_ms, last_ms, calls = float(np.median(mine.all_ms)), settling["last_ms"], settling["steady_after"]
    if max(told_ms / last_ms, last_ms / told_ms) > _OTHER_CALLS:
        yield (
            f"its median call of {show.number(told_ms)} ms is that of its first calls: after {calls} calls one takes "
            f"{show.number(last_ms)} ms. Type measure.warmup_calls={rounded_up(1.2 * calls)} to measure those"
        )


def drift(key: str, cells: Mapping[str, Cells]) -> Drift | None:
    """How a row's own cells change over a round, if they do so for sure and by ``DRIFT`` at least.

    The changes of the other rows in the same blocks are taken out first, because they are the machine's.
    """
    mine = cells.get(key)
    others = [found for name, found in cells.items() if name not in (key, CLONE + key)]
    if mine is None or len(others) < _FEWEST_OTHERS:
        return None
    changes, firsts, lasts = [], [], []
    for logs, machine in _rounds(mine, others):
        quarter = max(1, len(logs) // 4)
        own = logs - machine
        changes.append(float(np.median(own[-quarter:]) - np.median(own[:quarter])))
        firsts.append(float(np.median(logs[:quarter])))
        lasts.append(float(np.median(logs[-quarter:])))
    if len(changes) < _FEWEST_ROUNDS or abs(float(np.mean(changes))) < math.log1p(DRIFT):
        return None
    low, high = rounds_interval(np.array(changes), _LEVEL)
    if low <= 0 <= high:
        return None
    return Drift(first_ms=math.exp(float(np.mean(firsts))), last_ms=math.exp(float(np.mean(lasts))))


def _rounds(mine: Cells, others: list[Cells]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """For each round, the logs of the row's cells, and how far the others were from their own typical call just
    then."""
    typical = [float(np.median(list(other.log_median.values()))) for other in others]
    by_round: dict[int, list[tuple[float, float]]] = {}
    for place in sorted(mine.log_median):
        beside = [
            other.log_median[place] - middle
            for other, middle in zip(others, typical, strict=True)
            if place in other.log_median
        ]
        if beside:
            by_round.setdefault(place[0], []).append((mine.log_median[place], _shared(beside)))
    for pairs in by_round.values():
        columns = np.array(pairs)
        yield columns[:, 0], columns[:, 1]


def _shared(changes: list[float]) -> float:
    """What the machine did to all: the median, or of two the smaller change, since one may be that row's own."""
    return float(np.median(changes)) if len(changes) >= _FEWEST_FOR_MEDIAN else min(changes, key=abs)
