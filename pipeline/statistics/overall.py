"""Intervals of a figure over all examples together, and of its change, by the bootstrap over the examples."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.statistics.accuracy import EDGE, PairedDifference, Proportion, bootstrap_ends, unseen

_MOST_JACKKNIFED = 2_000
"""With more examples than this, leaving each out in turn costs more than it corrects (by 1 / sqrt(n))."""
Span = tuple[float, float]
"""The least and the largest value that a figure can have; either may be infinite."""
SHARE: Span = (0.0, 1.0)


def figure_interval(
    figure: Callable[[NDArray[np.intp]], float],
    n: int,
    rests_on: int | None,
    alpha: float = 0.05,
    *,
    span: Span = SHARE,
) -> Proportion:
    """A figure over n examples with a bootstrap interval over them, seeded; ``figure`` takes their places.

    A sample in which nothing varies proves little: the interval reaches as far as Wilson's does where ``rests_on``
    examples are all alike. None: every example moves the figure, so that only an interval without length is widened.
    ``span`` is the range of the figure.
    """
    value, low, high = _figure(figure, n, alpha)
    left_open = _left_open(rests_on, n, low, high, alpha)
    below, above = (abs(value) if math.isinf(end) else abs(value - end) for end in span)
    return Proportion(
        value=value, low=min(low, value - below * left_open), high=max(high, value + above * left_open), n=n
    )


def figure_change(
    difference: Callable[[NDArray[np.intp]], float],
    n: int,
    rests_on: int | None,
    alpha: float = 0.05,
    *,
    span: Span = SHARE,
    scale: float = 1.0,
) -> PairedDifference:
    """The difference of two figures over the same n examples, with a bootstrap interval over the examples, seeded.

    ``difference`` takes their places. The interval reaches as far on either side as Tango's does without any flip among
    ``rests_on`` examples: the examples that can change a figure. None: every example does, as in ``figure_interval``.
    ``span`` is the range of the figures, and ``scale`` the size of a whole figure.
    """
    value, low, high = _figure(difference, n, alpha)
    left_open = scale * _left_open(rests_on, n, low, high, alpha)
    most = span[1] - span[0]
    return PairedDifference(
        value=value,
        low=max(min(low, value - left_open), -most),
        high=min(max(high, value + left_open), most),
        flips=None,
        n=n,
        p=None,
    )


def _left_open(rests_on: int | None, n: int, low: float, high: float, alpha: float) -> float:
    if rests_on is None:
        return unseen(n, alpha) if high - low < EDGE else 0.0
    return unseen(rests_on, alpha)


def _figure(figure: Callable[[NDArray[np.intp]], float], n: int, alpha: float) -> tuple[float, float, float]:
    """The figure and the ends of its interval: BCa, or the resamples' own percentiles of many examples."""
    places = np.arange(n)
    value = float(figure(places))
    method = "BCa" if n <= _MOST_JACKKNIFED else "percentile"
    low, high = bootstrap_ends(places, figure, alpha, method=method, vectorized=False) or (value, value)
    return value, min(low, value), max(high, value)
