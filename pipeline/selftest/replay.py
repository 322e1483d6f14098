"""Judges recorded trials anew: what would other levels, or another interval between rounds, have said?

The stopping rule is replayed on the recorded blocks: after each look the interval is made of the rounds until then, and
the first interval that is narrow enough, or the last one, is the trial's. A trial that had stopped early stops there
for every rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.plan import MeasureSettings
from pipeline.selftest.trials import Trial
from pipeline.statistics.latency import (
    Floats,
    hodges_lehmann,
    rounds_interval,
    trimmed_rounds_interval,
    walsh_interval,
)

Between = Callable[[Floats, float], tuple[float, float]]
RULES: Mapping[str, Between | None] = {
    "blocks alone": None,
    "hull with t": rounds_interval,
    "hull with trimmed t": trimmed_rounds_interval,
}
LEVELS = (0.01, 0.02, 0.03, 0.04, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one rule at one level over all trials."""

    rule: str
    alpha: float
    trials: int
    excludes_one: int
    covers: int
    """The number of intervals that hold the true ratio."""
    half_width: float
    """The median half-width, of the log-ratio."""
    rounds: float
    """The mean number of rounds until the trials stopped."""

    def __str__(self) -> str:
        return (
            f"{self.rule}, alpha {self.alpha:.2f} a look: excludes 1 in {self.excludes_one} of {self.trials}, "
            f"covers the true ratio in {self.covers}; median half-width ±{100 * self.half_width:.2f} %, "
            f"{self.rounds:.1f} rounds"
        )


def replay(trials: Sequence[Trial], true_ratio: float, settings: MeasureSettings) -> list[Outcome]:
    """Every rule at every level, on trials that hold their ``differences``; raises ValueError without one."""
    traces = [[np.array(blocks) for blocks in trial.differences] for trial in trials if trial.differences]
    if not traces:
        raise ValueError("no trial has kept its blocks")
    return [_outcome(rule, alpha, traces, true_ratio, settings) for rule in RULES for alpha in LEVELS]


def _outcome(
    rule: str, alpha: float, traces: Sequence[Sequence[Floats]], true_ratio: float, settings: MeasureSettings
) -> Outcome:
    found = [_stopped(RULES[rule], alpha, trace, settings) for trace in traces]
    true = np.log(true_ratio)
    return Outcome(
        rule=rule,
        alpha=alpha,
        trials=len(found),
        excludes_one=sum(not low <= 0 <= high for low, high, _ in found),
        covers=sum(bool(low <= true <= high) for low, high, _ in found),
        half_width=float(np.median([(high - low) / 2 for low, high, _ in found])),
        rounds=float(np.mean([rounds for _, _, rounds in found])),
    )


def _stopped(
    between: Between | None, alpha: float, trace: Sequence[Floats], settings: MeasureSettings
) -> tuple[float, float, int]:
    """The interval of the log-ratio at the look where the measurement would have stopped, and the rounds until then."""
    looks = [look for look in settings.looks if look < len(trace)] + [len(trace)]
    low, high = -np.inf, np.inf
    for look in looks:
        low, high = _interval(between, alpha, trace[:look])
        if (high - low) / 2 <= settings.half_width:
            return low, high, look
    return low, high, len(trace)


def _interval(between: Between | None, alpha: float, rounds: Sequence[Floats]) -> tuple[float, float]:
    low, high = walsh_interval(np.concatenate(rounds), alpha)
    if between is None:
        return low, high
    own_low, own_high = between(np.array([hodges_lehmann(blocks) for blocks in rounds]), alpha)
    return min(low, own_low), max(high, own_high)
