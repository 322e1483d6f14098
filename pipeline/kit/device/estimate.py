"""How many times as fast as the baseline is a row? The report's paired estimate, with numpy alone.

These figures are for the screen and for when to stop. The verdicts come from the report, which has its own code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STEPS = 2000
"""Simpson's steps over a quarter turn, an even number; the quantile is then good to five digits."""


class Ratio(NamedTuple):
    """A ratio of times with its interval; above 1 is faster than the baseline."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval of the logarithm."""
        return (math.log(self.high) - math.log(self.low)) / 2 if self.low > 0 and self.high < math.inf else math.inf


def paired_ratio(rounds: Sequence[Floats], alpha: float) -> Ratio:
    """The ratio from each round's differences log(baseline) - log(row), a difference a block.

    The value is the Hodges-Lehmann estimate. The interval is the hull of the Walsh interval over the blocks and the t
    interval over the rounds' own estimates, at the level 1 - alpha.
    """
    pooled = np.concatenate(list(rounds))
    averages = _walsh_averages(pooled)
    between_blocks = _walsh_interval(averages, len(pooled), alpha)
    between_rounds = _rounds_interval([float(np.median(_walsh_averages(one))) for one in rounds], alpha)
    low, high = min(between_blocks[0], between_rounds[0]), max(between_blocks[1], between_rounds[1])
    return Ratio(math.exp(float(np.median(averages))), _exp(low), _exp(high))


def t_quantile(p: float, degrees: int) -> float:
    """Student's quantile, above 0.5: the angle at which the integral of cos(angle)^(degrees - 1) has come so far."""
    angles = np.linspace(0.0, math.pi / 2, _STEPS + 1)
    heights = np.cos(angles) ** (degrees - 1)
    pairs = (heights[:-2:2] + 4 * heights[1:-1:2] + heights[2::2]) * (angles[1] / 3)
    parts: NDArray[Any] = np.concatenate([[0.0], np.cumsum(pairs)])
    scale = math.gamma((degrees + 1) / 2) / (math.sqrt(math.pi) * math.gamma(degrees / 2))
    angle = float(np.interp((p - 0.5) / scale, parts, angles[::2]))
    return math.sqrt(degrees) * math.tan(angle)


def _walsh_averages(differences: Floats) -> Floats:
    first, second = np.triu_indices(len(differences))
    averages: Floats = (differences[first] + differences[second]) / 2
    return averages


def _walsh_interval(averages: Floats, n: int, alpha: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf(1 - alpha / 2)
    count = len(averages)
    below = math.floor(count / 2 - z * math.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    if below < 0:
        return -math.inf, math.inf
    ordered = np.partition(averages, [below, count - 1 - below])
    return float(ordered[below]), float(ordered[count - 1 - below])


def _rounds_interval(estimates: Sequence[float], alpha: float) -> tuple[float, float]:
    rounds = len(estimates)
    if rounds < 2:
        return -math.inf, math.inf
    error = float(np.std(estimates, ddof=1)) / math.sqrt(rounds)
    reach = t_quantile(1 - alpha / 2, rounds - 1) * error
    mean = float(np.mean(estimates))
    return mean - reach, mean + reach


def _exp(log: float) -> float:
    return math.exp(log) if log < 700 else math.inf
