"""Is a variant as accurate as the baseline? Both were judged on the same examples, so everything here is paired.

An example is *gained* where only the variant is right, *lost* where only the baseline is; together they are the
*flips*, and the difference and its uncertainty depend only on them (Dutta et al. 2024, "Accuracy is not all you need").
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.results.intervals import AccuracyVerdict, rounded_up

_POWER = 0.8
_RESAMPLES = 2_000
_BATCH = 100
"""Resamples that are in memory together."""
EDGE = 1e-12
"""How close to -1 and 1 the score statistic is still evaluated; its variance is 0 at the ends themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A share of ``n`` examples, or a mean over them, with its interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """The variant's share less the baseline's, over the same ``n`` examples, with its interval."""

    value: float
    low: float
    high: float
    flips: int | None
    """The number of examples that one is right on and the other wrong, or less right; None where a single example is
    neither."""
    n: int
    p: float | None
    """The p of the exact McNemar test, uncorrected; None where examples are partly right."""


def wilson(count: int, n: int, alpha: float = 0.05) -> Proportion:
    """Wilson's score interval of a proportion (Wilson 1927, through scipy).

    Raises ValueError for impossible counts.
    """
    from scipy.stats import binomtest

    if not 0 <= count <= n or n == 0:
        raise ValueError(f"{count} of {n} examples is not a proportion")
    limits = binomtest(count, n).proportion_ci(1 - alpha, method="wilson")
    value = count / n
    return Proportion(value=value, low=min(float(limits.low), value), high=max(float(limits.high), value), n=n)


def mean_interval(values: NDArray[np.float64], alpha: float = 0.05) -> Proportion:
    """The mean of similarities [N], with a bootstrap interval (BCa; Efron 1987, through scipy), seeded.

    Where all values are the same (to rounding), the interval is that value; where they are too few for the bootstrap,
    it reaches from the smallest to the largest. Raises ValueError for no values.
    """
    if not len(values):
        raise ValueError("there are no values to take the mean of")
    value = float(values.mean())
    if np.ptp(values) < EDGE:
        return Proportion(value=value, low=value, high=value, n=len(values))
    ends = (float(values.min()), float(values.max()))
    low, high = bootstrap_ends(values, np.mean, alpha, method="BCa") or ends
    return Proportion(value=value, low=min(low, value), high=max(high, value), n=len(values))


def bootstrap_ends(
    data: NDArray[Any], statistic: Callable[..., Any], alpha: float, **options: Any
) -> tuple[float, float] | None:
    """The ends of an interval (Efron & Tibshirani 1993, through scipy); None where the values are too alike for one."""
    from scipy.stats import bootstrap

    if len(data) < 2:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of too few different values, which the ends tell
        found = bootstrap(
            (data,), statistic, confidence_level=1 - alpha, n_resamples=_RESAMPLES, batch=_BATCH, rng=0, **options
        ).confidence_interval
    ends = float(found.low), float(found.high)
    return ends if all(map(math.isfinite, ends)) else None


def unseen(n: int, alpha: float) -> float:
    """The largest share that n examples without any leave open: where Wilson's interval of 0 among n ends."""
    z2 = _quantile(1 - alpha / 2) ** 2
    return z2 / (n + z2)


def mean_change(after: NDArray[np.float64], before: NDArray[np.float64]) -> PairedDifference:
    """The difference of two means over the same examples, with the bootstrap's interval over the examples.

    Where no example differs, the interval reaches as far as Tango's does without any flip, in parts of the mean.
    """
    found = mean_interval(after - before)
    low, high = found.low, found.high
    if high - low < EDGE:
        reach = abs(float(before.mean())) * unseen(found.n, 0.05)
        low, high = low - reach, high + reach
    return PairedDifference(value=found.value, low=low, high=high, flips=None, n=found.n, p=None)


def share_interval(right: NDArray[np.float64]) -> Proportion:
    """The mean of how right each example is [N], 0 to 1: Wilson's interval where all are right or wrong.

    An example that is partly right, a sentence of tokens say, counts as a cluster: the interval is the bootstrap's over
    the examples, and no narrower than Wilson's would be where they are all alike.
    """
    if _all_or_nothing(right):
        return wilson(int(right.sum()), len(right))
    found = mean_interval(right)
    return found if found.low < found.high else _as_wide_as_wilson(found)


def change_of_shares(after: NDArray[np.float64], before: NDArray[np.float64]) -> PairedDifference:
    """The difference of two such means on the same examples, with Tango's interval where all are right or wrong, and
    else the bootstrap's over the examples."""
    gained, lost = int((after > before).sum()), int((after < before).sum())
    if (_all_or_nothing(after) and _all_or_nothing(before)) or not gained + lost:
        return paired_difference(gained, lost, len(after))
    mean = mean_interval(after - before)
    return PairedDifference(value=mean.value, low=mean.low, high=mean.high, flips=gained + lost, n=len(after), p=None)


def _all_or_nothing(right: NDArray[np.float64]) -> bool:
    return bool(np.isin(right, (0.0, 1.0)).all())


def _as_wide_as_wilson(found: Proportion) -> Proportion:
    z2 = _quantile(0.975) ** 2
    middle, half = found.value + z2 / (2 * found.n), math.sqrt(found.value * (1 - found.value) / found.n * z2)
    half = math.sqrt(half**2 + (z2 / (2 * found.n)) ** 2)
    scale = 1 + z2 / found.n
    return Proportion(
        value=found.value, low=max((middle - half) / scale, 0.0), high=min((middle + half) / scale, 1.0), n=found.n
    )


def exact_mcnemar(gained: int, lost: int) -> float:
    """The two-sided p of "as many are gained as lost", from the binomial distribution (through scipy)."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def paired_difference(gained: int, lost: int, n: int, alpha: float = 0.05) -> PairedDifference:
    """The difference of two paired proportions, (gained - lost) / n, with Tango's score interval.

    The limits are the differences at which the score statistic reaches the normal quantile; with no flip at all they
    are still apart, which Wald's are not. Source: Tango 1998, "Equivalence test and confidence interval for the
    difference in proportions for the paired-sample design", Statistics in Medicine 17:891-908. Raises ValueError for
    impossible counts.
    """
    if min(gained, lost) < 0 or gained + lost > n or n == 0:
        raise ValueError(f"{gained} gained and {lost} lost of {n} examples is not possible")
    low = -1.0 if lost == n else _lower_limit(gained, lost, n, alpha)
    high = 1.0 if gained == n else -_lower_limit(lost, gained, n, alpha)
    return PairedDifference(
        value=(gained - lost) / n, low=low, high=high, flips=gained + lost, n=n, p=exact_mcnemar(gained, lost)
    )


def _lower_limit(gained: int, lost: int, n: int, alpha: float) -> float:
    from scipy.optimize import brentq

    estimate = (gained - lost) / n
    z = _quantile(1 - alpha / 2)
    return float(brentq(lambda delta: _score(delta, gained, lost, n) - z, -1 + EDGE, min(estimate, 1 - EDGE)))


def _score(delta: float, gained: int, lost: int, n: int) -> float:
    """Tango's statistic of "the true difference is ``delta``"; standard normal where it is true."""
    linear = (2 * n - gained + lost) * delta - gained - lost
    constant = -lost * delta * (1 - delta)
    root = math.sqrt(max(linear * linear - 8 * n * constant, 0.0))
    # The share of lost examples that is most likely under ``delta``: a quadratic's larger root, without cancellation.
    lost_share = -2 * constant / (linear + root) if linear > 0 else (root - linear) / (4 * n)
    variance = n * (2 * lost_share + delta * (1 - delta))
    return (gained - lost - n * delta) / math.sqrt(max(variance, EDGE))


def accuracy_verdict(low: float, high: float, margin: float) -> AccuracyVerdict:
    """What the interval of the difference says about a drop of ``margin``; the first that holds.

    ``low > -margin`` is the test of non-inferiority at 2.5 %. A mere "no significant difference" never counts as the
    same: an interval that reaches past the margin on one side and past 0 on the other is UNDECIDED.
    """
    if low > 0:
        return "IMPROVED"
    if low > -margin:
        return "NO MEANINGFUL DROP" if high >= 0 else "SMALL REAL DROP"
    if high < -margin:
        return "FAILS MARGIN"
    return "DROP" if high < 0 else "UNDECIDED"


def similarity_verdict(low: float, high: float, margin: float) -> AccuracyVerdict:
    """The verdict on a loss of ``margin``, by the interval of what is missing to a similarity of 1.

    A similarity is below 1 as soon as anything differs at all, so nothing is called IMPROVED or a SMALL REAL DROP.
    """
    if low > -margin:
        return "NO MEANINGFUL DROP"
    return "FAILS MARGIN" if high < -margin else "UNDECIDED"


def n_to_decide(difference: PairedDifference, margin: float, alpha: float = 0.05) -> int | None:
    """About how many examples would settle an UNDECIDED verdict, with a chance of 80 %, if rates stay as they are.

    The interval must become narrower than the distance from the estimate to the farther of 0 and ``-margin``; where the
    estimate is not below 0 that is the margin: 7.85 · flips / (n · margin²) examples. None where no number would do.
    """
    drop = max(-difference.value, 0.0)
    distance = max(drop, margin - drop)
    if distance <= 0 or difference.flips is None:
        return None
    needed = examples_to_decide(difference.flips / difference.n, distance, margin, alpha)
    return rounded_up(max(needed, difference.n + 1))


def examples_to_decide(flips: float, distance: float, margin: float, alpha: float = 0.05) -> float:
    """How many examples make the interval narrower than ``distance``, with a chance of 80 %, where ``flips`` is the
    share of examples that flip; at least as many as show a drop below ``margin`` where none does."""
    z = _quantile(1 - alpha / 2)
    spread = (z + _quantile(_POWER)) ** 2 * flips / distance**2
    return max(spread, z * z * (1 - margin) / margin if margin > 0 else 0.0)


def _quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)
