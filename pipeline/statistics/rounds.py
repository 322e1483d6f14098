"""Percentiles and rates of all calls of a run, and how sure they are. Pure functions of latencies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.results.intervals import Quantile

TAIL_CALLS = 5
"""The fewest calls of a round beyond a quantile for that quantile to have an interval."""
_MIN_ROUNDS = 3
Floats = NDArray[np.float64]


def quantile_over_rounds(values_by_round: Sequence[Floats], q: float, alpha: float) -> Quantile:
    """A quantile of all calls, with its interval (``_over_rounds``).

    ``values_by_round`` are latencies (above 0), an array a round. There is no interval where a round has fewer than
    ``TAIL_CALLS`` calls beyond the quantile, or with fewer than 3 rounds. Raises ValueError without calls.
    """
    rounds = filled(values_by_round)
    enough = min(map(len, rounds)) * min(q, 1 - q) >= TAIL_CALLS
    return _over_rounds(rounds, lambda calls: float(np.quantile(calls, q)), alpha, enough=enough)


def rate_over_rounds(values_by_round: Sequence[Floats], examples: int, alpha: float) -> Quantile:
    """Examples a second, of calls that handle ``examples`` each, one after the other; latencies are in milliseconds.

    It has an interval (``_over_rounds``), unless there are fewer than 3 rounds. Raises ValueError without calls.
    """
    return _over_rounds(filled(values_by_round), lambda calls: 1e3 * examples / float(calls.mean()), alpha)


def filled(values_by_round: Sequence[Floats]) -> list[Floats]:
    """The rounds that have calls; raises ValueError where none has."""
    rounds = [np.asarray(values, np.float64) for values in values_by_round if len(values)]
    if not rounds:
        raise ValueError("there is no call to take a figure of")
    return rounds


def _over_rounds(
    rounds: Sequence[Floats],
    figure: Callable[[Floats], float],
    alpha: float,
    *,
    enough: bool = True,
) -> Quantile:
    """A figure of all calls together, and how far it would move with other rounds.

    Calls within a round depend on each other, so only rounds count as repetitions. The interval is the jackknife's:
    t times the error of the figure that is left when each round in turn is left out, on the log scale. It
    belongs to the very figure that is told. A t interval over the rounds' own quantiles belongs to their mean, which
    is another figure: in simulated runs it missed the 99th percentile of all calls in 11 of 100.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 11.
    """
    value = figure(np.concatenate(rounds))
    if len(rounds) < _MIN_ROUNDS or not enough:
        return Quantile(value=value)
    left = np.array([figure(np.concatenate([*rounds[:index], *rounds[index + 1 :]])) for index in range(len(rounds))])
    reach = _jackknife_reach(np.log(left), alpha)
    return Quantile(value=value, low=value * _exp(-reach), high=value * _exp(reach))


def _jackknife_reach(left: Floats, alpha: float) -> float:
    """Half the length of the interval, from the figures that are left when each round in turn is left out."""
    from scipy.stats import t

    rounds = len(left)
    error = math.sqrt((rounds - 1) / rounds * float(np.sum((left - left.mean()) ** 2)))
    return float(t.ppf(1 - alpha / 2, rounds - 1)) * error


def _exp(log: float) -> float:
    """exp, where a log beyond a float's range is an infinite ratio."""
    return math.exp(log) if log < 700 else math.inf
