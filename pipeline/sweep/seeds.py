"""The spread over seeds, where jobs differ in their seed only.

The spread is the least, the median and the largest of the jobs' own figures. Their intervals are not averaged: each is
of one model and one session, and a few seeds do not tell how models of other seeds would be distributed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from pipeline.results.sweep import SeedSpread, Spread, SweepJob, SweepRow
from pipeline.sweep.settings import but_seeds, is_seed


def spreads(jobs: Sequence[SweepJob]) -> list[SeedSpread]:
    """A spread for each row that two jobs or more have measured which differ in their seed only: on one machine."""
    groups: dict[tuple[str | None, *tuple[tuple[str, str], ...]], list[SweepJob]] = {}
    for job in jobs:
        if any(map(is_seed, job.settings)):
            groups.setdefault((job.machine, *but_seeds(job.settings).items()), []).append(job)
    return [spread for group in groups.values() for spread in _spreads_of(group)]


def _spreads_of(jobs: Sequence[SweepJob]) -> list[SeedSpread]:
    keys = dict.fromkeys(row.key for job in jobs for row in job.rows)
    found = [_spread(jobs, key) for key in keys]
    return [spread for spread in found if spread is not None]


def _spread(jobs: Sequence[SweepJob], key: str) -> SeedSpread | None:
    measured = [(job, row) for job in jobs if (row := job.row(key)) is not None and row.p50_ms is not None]
    if len(measured) < 2:
        return None
    rows = [row for _, row in measured]
    speedups = [row.speedup for row in rows if row.speedup is not None]
    accuracies = [row.accuracy for row in rows if row.accuracy is not None]
    return SeedSpread(
        settings=but_seeds(measured[0][0].settings),
        variant=rows[0].variant,
        target=rows[0].target,
        batch_size=rows[0].batch_size,
        jobs=[job.name for job, _ in measured],
        seeds=[_seeds(job) for job, _ in measured],
        same_bytes=len({row.digest for row in rows}) == 1 and rows[0].digest is not None,
        speedup=_of([speedup.value for speedup in speedups]),
        overlapping=_overlap(rows) if speedups else None,
        accuracy=_of([accuracy.value for accuracy in accuracies]),
        change=_of([accuracy.delta for accuracy in accuracies if accuracy.delta is not None]),
        unit=accuracies[0].unit if accuracies else "percent",
    )


def _seeds(job: SweepJob) -> str:
    return ", ".join(value for key, value in job.settings.items() if is_seed(key))


def _of(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(least=min(values), median=statistics.median(values), largest=max(values))


def _overlap(rows: Sequence[SweepRow]) -> bool:
    """Whether one speed-up lies in all intervals."""
    found = [row.speedup for row in rows if row.speedup is not None]
    highs = [math.inf if speedup.high is None else speedup.high for speedup in found]
    return max(speedup.low for speedup in found) <= min(highs)
