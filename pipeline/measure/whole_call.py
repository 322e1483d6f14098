"""How long does each step of a whole call take? All rows of a device are timed in the same rounds, interleaved.

Each round starts fresh processes, as ``latency`` does, and each block visits every row once, in random order. The rows
take the same examples in a block, so that their ratios do not depend on which ones are large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.measure.cores import cores_for
from pipeline.measure.rounds import Round
from pipeline.measure.workers.call import Visit
from pipeline.measure.workers.start import FreshWorkers
from pipeline.measure.workers.worker import Job
from pipeline.plan import MeasureSettings

BLOCKS = 8
"""The number of blocks a round."""
_MOST_CALLS = 32


@dataclass(slots=True)
class CallTimes:
    """The milliseconds of each step for one example, by row: a list for each round, with an entry a block."""

    rounds: dict[str, list[list[list[float]]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """The reason in one line, by row."""


def time_calls(
    jobs: Mapping[str, Job], settings: MeasureSettings, seed: int, progress: Callable[[float], None]
) -> CallTimes:
    """Time the whole calls of all rows of one device, in as many rounds as ``measure.looks`` begins with.

    A row whose worker fails has a reason in place of times, and the others go on.
    """
    found, rng = CallTimes(), np.random.default_rng(seed)
    count = settings.looks[0]
    calls = 0
    with FreshWorkers(settings.start) as fresh:
        for number in range(count):
            left = {key: job for key, job in jobs.items() if key not in found.failures}
            cores = cores_for(job.target for job in left.values())
            with fresh.started({key: replace(job, cores=cores) for key, job in left.items()}) as workers:
                current = Round.of(workers, settings)
                current.load(rng)
                calls = calls or _calls(current, settings, rng)
                blocks = []
                for block in range(BLOCKS):
                    blocks.append(current.ask_all(Visit(first=(number * BLOCKS + block) * calls, calls=calls), rng))
                    progress((number + (block + 1) / BLOCKS) / count)
            found.failures.update(current.failures)
            for key in current.workers:
                found.rounds.setdefault(key, []).append([visited[key].tolist() for visited in blocks])
    found.rounds = {key: rounds for key, rounds in found.rounds.items() if key not in found.failures}
    return found


def _calls(current: Round, settings: MeasureSettings, rng: np.random.Generator) -> int:
    """How many calls a visit has: about ``measure.cell_ms`` of the slowest row's."""
    tried = current.ask_all(Visit(first=0, calls=settings.min_calls), rng)
    slowest_ms = max((float(times.sum()) for times in tried.values()), default=math.inf)
    return max(settings.min_calls, min(_MOST_CALLS, math.ceil(settings.cell_ms / slowest_ms)))
