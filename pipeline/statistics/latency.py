"""How many times faster is a variant, and how sure is that? Pure functions of paired log-ratios.

A *difference* is log(reference's median call) - log(variant's median call) within one block; exp of it is a speed-up,
above 1 where the variant is faster. Blocks lie in rounds, and every round has fresh processes. A process keeps one
memory layout for its life, so that blocks of a round agree more among themselves than with the blocks of another. An
interval from only the pooled blocks is too narrow, so the rounds' own estimates have a say, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipeline.results.figures import SpeedVerdict
from pipeline.results.intervals import rounded_up

DELTA = 0.01
"""A smaller speed-up is never called FASTER (nor SLOWER)."""
SAME = 0.02
"""An interval that stays this close to 1 is called SAME."""
_LEVEL = 0.05
_EXACT_UP_TO = 50
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A speed-up with its interval: ratios, above 1 is faster."""

    value: float
    low: float
    high: float
    p: float
    """The p of "the ratio is 1", before any correction."""
    blocks: int
    rounds: int
    half_width: float
    """Half the length of the interval of the log-ratio; about the relative precision: 0.01 is 1 %."""


def paired_ratio(differences_by_round: Sequence[Floats], alpha: float) -> Estimate:
    """The speed-up from the differences of each round's blocks.

    The value is the Hodges-Lehmann estimate of all differences; its interval is the hull of the Walsh interval (between
    blocks) and the t interval over the rounds' own estimates (between processes), at level 1 - alpha. p is the larger
    of the signed-rank test's and that t's. With one round the interval is unbounded. Raises ValueError without blocks.
    """
    rounds = [np.asarray(differences, np.float64) for differences in differences_by_round if len(differences)]
    if not rounds:
        raise ValueError("there is no block to estimate a speed-up from")
    pooled = np.concatenate(rounds)
    estimates = np.array([hodges_lehmann(differences) for differences in rounds])
    walsh_low, walsh_high = walsh_interval(pooled, alpha)
    rounds_low, rounds_high = rounds_interval(estimates, alpha)
    low, high = min(walsh_low, rounds_low), max(walsh_high, rounds_high)
    return Estimate(
        value=math.exp(hodges_lehmann(pooled)),
        low=_exp(low),
        high=_exp(high),
        p=max(_signed_rank_p(pooled), _rounds_p(estimates)),
        blocks=len(pooled),
        rounds=len(rounds),
        half_width=(high - low) / 2,
    )


def hodges_lehmann(differences: Floats) -> float:
    """The median of all Walsh averages (d_i + d_j) / 2, i <= j: nearly a mean's precision, and robust to spikes.

    Source: Hodges & Lehmann 1963, Estimates of location based on rank tests.
    """
    return float(np.median(_walsh_averages(differences)))


def walsh_interval(differences: Floats, alpha: float) -> tuple[float, float]:
    """The signed-rank test's interval: the Walsh averages W_(k+1) and W_(M-k) of M, by the normal approximation.

    Unbounded where there are too few differences for the level. Source: Hollander & Wolfe, Nonparametric Statistical
    Methods, section 3.3.
    """
    averages = _walsh_averages(differences)
    n, count = len(differences), len(averages)
    z = NormalDist().inv_cdf(1 - alpha / 2)
    below = math.floor(count / 2 - z * math.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    if below < 0:
        return -math.inf, math.inf
    ordered = np.partition(averages, [below, count - 1 - below])
    return float(ordered[below]), float(ordered[count - 1 - below])


def rounds_interval(round_estimates: Floats, alpha: float) -> tuple[float, float]:
    """The t interval of the mean of the rounds' own estimates; unbounded for fewer than two rounds."""
    from scipy.stats import t

    rounds = len(round_estimates)
    if rounds < 2:
        return -math.inf, math.inf
    mean, error = _mean_and_error(round_estimates)
    reach = float(t.ppf(1 - alpha / 2, rounds - 1)) * error
    return mean - reach, mean + reach


def trimmed_rounds_interval(round_estimates: Floats, alpha: float, cut: int = 1) -> tuple[float, float]:
    """The t interval of the mean without the ``cut`` lowest and highest rounds; unbounded for fewer than 2 cut + 2.

    The error is the winsorized values' error. Source: Tukey & McLaughlin 1963, Less vulnerable confidence and
    significance procedures for location based on a single sample.
    """
    from scipy.stats import t

    rounds = len(round_estimates)
    kept = rounds - 2 * cut
    if kept < 2:
        return -math.inf, math.inf
    ordered = np.sort(round_estimates)
    winsorized = np.clip(round_estimates, ordered[cut], ordered[-1 - cut])
    mean = float(ordered[cut : rounds - cut].mean())
    error = float(np.std(winsorized, ddof=1)) * math.sqrt(rounds) / kept
    reach = float(t.ppf(1 - alpha / 2, kept - 1)) * error
    return mean - reach, mean + reach


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number by Holm's step-down method (Holm 1979), in their order."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1)
    return [float(value) for value in corrected]


def speed_verdict(
    estimate: Estimate, corrected_p: float, *, noisy: bool = False, screening: bool = False
) -> SpeedVerdict:
    """The verdict that the estimate allows, the first that holds; ``corrected_p`` is Holm's over all rows of the run.

    ``noisy`` says that the run's own checks failed. A screening never says FASTER or SLOWER: SCREENED stands for them.
    An interval that lies beyond 1 % while p is not below 0.05 comes from a run too short for its correction: not
    confirmed.
    """
    if noisy:
        return "NOISY"
    if estimate.low > 1 + DELTA or estimate.high < 1 - DELTA:
        if corrected_p < _LEVEL:
            return "SCREENED" if screening else "FASTER" if estimate.low > 1 else "SLOWER"
        return "FASTER, not confirmed" if estimate.low > 1 else "SLOWER, not confirmed"
    if estimate.low > 1:
        return "SLIGHTLY FASTER"
    if estimate.high < 1:
        return "SLIGHTLY SLOWER"
    if estimate.low > 1 - SAME and estimate.high < 1 + SAME:
        return "SAME"
    return "INCONCLUSIVE"


def blocks_to_settle(estimate: Estimate) -> int | None:
    """About how many blocks would make an INCONCLUSIVE interval exclude 1 or lie within 2 % of it.

    An interval shrinks with the square root of the blocks; the estimate is taken to stay where it is. None where the
    interval is unbounded.
    """
    if not math.isfinite(estimate.half_width):
        return None
    distance = abs(math.log(estimate.value))
    wanted = max(distance, math.log1p(SAME) - distance)
    return rounded_up(max(estimate.blocks + 1, estimate.blocks * (estimate.half_width / wanted) ** 2))


def minimum_detectable_effect(half_width: float, alpha: float, power: float = 0.8) -> float:
    """The smallest speed-up (0.03 is 3 %) that an interval of this half-width would exclude 1 for, with this power."""
    normal = NormalDist()
    return math.expm1(half_width * (1 + normal.inv_cdf(power) / normal.inv_cdf(1 - alpha / 2)))


def _walsh_averages(differences: Floats) -> Floats:
    d = np.asarray(differences, np.float64)
    first, second = np.triu_indices(len(d))
    averages: Floats = (d[first] + d[second]) / 2
    return averages


def _mean_and_error(values: Floats) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))


def _signed_rank_p(differences: Floats) -> float:
    """Wilcoxon's signed-rank test: exact for few differences without ties, else by the normal approximation."""
    from scipy.stats import wilcoxon

    sizes = np.abs(differences)
    if not np.any(sizes):
        return 1.0
    exact = len(sizes) <= _EXACT_UP_TO and np.all(sizes > 0) and len(np.unique(sizes)) == len(sizes)
    return float(wilcoxon(differences, method="exact" if exact else "asymptotic").pvalue)


def _rounds_p(round_estimates: Floats) -> float:
    from scipy.stats import t

    rounds = len(round_estimates)
    if rounds < 2:
        return 1.0
    mean, error = _mean_and_error(round_estimates)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * t.sf(abs(mean) / error, rounds - 1))


def _exp(log: float) -> float:
    """exp, where a log beyond a float's range is an infinite ratio."""
    return math.exp(log) if log < 700 else math.inf
