"""The range that loses least: clipping costs some values dearly, and makes all others finer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CANDIDATES = 80
NARROWEST = 0.2
"""The share of the value that occurred beyond which no end of a range is moved in."""


def least_error_range(
    histogram: NDArray[np.int64], edges: Floats, low: float, high: float, *, levels: int, symmetric: bool
) -> tuple[float, float]:
    """The range about zero in which ``levels`` steps reproduce a histogram with the smallest mean squared error.

    ``histogram`` [B] counts the values between ``edges`` [B + 1]; ``low`` and ``high`` are the smallest and the largest
    value. First the upper end is moved in, then the lower one; with ``symmetric`` both together.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    used = histogram > 0
    centers, weights = ((edges[:-1] + edges[1:]) / 2)[used], histogram[used].astype(np.float64)
    if not len(centers) or low == high:
        return low, high
    shares = np.linspace(1.0, NARROWEST, CANDIDATES)
    if symmetric:
        reach = max(-low, high)
        best = reach * shares[_best(centers, weights, -reach * shares, reach * shares, levels)]
        return -float(best), float(best)
    high *= float(shares[_best(centers, weights, np.full(CANDIDATES, low), high * shares, levels)])
    low *= float(shares[_best(centers, weights, low * shares, np.full(CANDIDATES, high), levels)])
    return low, high


def _best(centers: Floats, weights: Floats, lows: Floats, highs: Floats, levels: int) -> int:
    """Which of the ranges has the smallest error; the widest of equals."""
    errors = [_error(centers, weights, low, high, levels) for low, high in zip(lows, highs, strict=True)]
    return int(np.argmin(errors))


def _error(centers: Floats, weights: Floats, low: float, high: float, levels: int) -> float:
    step = (high - low) / (levels - 1)
    if step <= 0:
        return float(weights @ centers**2)
    restored = np.round((np.clip(centers, low, high) - low) / step) * step + low
    return float(weights @ (centers - restored) ** 2)
