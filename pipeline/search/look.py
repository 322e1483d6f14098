"""Looks at candidates that were built: a few short rounds beside the reference, in which those that can't reach the
best are dropped.

A look chooses and proves nothing: the best of many looks is partly luck.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from pipeline.data.dataset import Feed
from pipeline.errors import SlimlineError
from pipeline.measure.group import Subject
from pipeline.measure.latency import measure_latency
from pipeline.measure.race import Differences
from pipeline.plan import MeasureSettings, RunLimits
from pipeline.results.record import LatencySamples
from pipeline.results.search import Ending, ScreenedSpeed
from pipeline.search.board import Board
from pipeline.statistics.racing import standing

TOGETHER = 10
"""The most candidates that are looked at together."""
_ROUNDS, _BLOCKS = 3, 8
_UNREACHABLE = 1e-9
"""A width that no interval has: a look ends with its rounds."""
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The outcome of a look."""

    ended: Mapping[str, tuple[Ending, str]]
    """The candidates that are out of the race, by key: where each stopped, and why."""
    samples: LatencySamples
    call_ms: float
    """The reference's median call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What every look of a search has in common."""

    board: Board
    reference: Subject
    """The row that everything is compared with."""
    feed: Feed
    """The batch that candidates are timed on."""
    settings: MeasureSettings
    """The settings of the measuring; a look has its own rounds and blocks."""
    seed: int
    limit_s: float = RunLimits().seconds
    """The least time that a worker's answer may take."""

    def __call__(
        self,
        ready: Mapping[str, Subject],
        budget_s: float | None,
        progress: Callable[[float, str], None] = lambda done, text: None,
    ) -> Looked:
        """Time the board's candidates ``ready``, by their keys, and note the speed of each on the board.

        Raises SlimlineError where the reference can't be timed.
        """
        measured = measure_latency(
            [self.reference, *ready.values()],
            {subject.key: self.reference.key for subject in ready.values()},
            [],
            {self.reference.batch_size: self.feed},
            replace(
                self.settings,
                looks=(_ROUNDS,),
                blocks=_BLOCKS,
                min_calls=1,
                half_width=_UNREACHABLE,
                budget_s=budget_s,
            ),
            self.seed,
            limit_s=self.limit_s,
            judge=partial(self._overtaken, {subject.key for subject in ready.values()}),
            progress=progress,
        )
        if self.reference.key in measured.failures:
            raise SlimlineError(f"the baseline could not be timed: {measured.failures[self.reference.key]}")
        ended: dict[str, tuple[Ending, str]] = {}
        for key, subject in ready.items():
            if subject.key in measured.differences:
                self.board[key].speed = _speed(measured.differences, subject.key)
            if subject.key in measured.failures:
                ended[key] = "failed", measured.failures[subject.key]
            elif subject.key in measured.dropped:
                ended[key] = "slower", measured.dropped[subject.key].reason
            elif self.board[key].speed is None:
                ended[key] = "failed", "every block was disturbed"
        return Looked(ended=ended, samples=measured.samples, call_ms=_median_ms(measured.samples, self.reference.key))

    def _overtaken(self, racing: set[str], differences: Differences, rounds: int) -> Mapping[str, str]:
        """The candidates that are out of the race after some rounds, and why."""
        reasons = {key: self.board.overtaken(_speed(differences, key).high) for key in differences if key in racing}
        return {key: reason for key, reason in reasons.items() if reason is not None}


def _speed(differences: Differences, key: str) -> ScreenedSpeed:
    found = standing(differences[key])
    return ScreenedSpeed(value=found.value, low=found.low, high=found.high, rounds=found.rounds)


def _median_ms(samples: LatencySamples, key: str) -> float:
    return float(np.median(samples.duration_ns[samples.subject == samples.subjects.index(key)])) / _NS_PER_MS
