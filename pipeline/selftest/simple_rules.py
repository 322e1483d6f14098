"""Three simple rules by which the best of many models is often chosen, on calls of one model after the other.

Each takes the calls of every model, the baseline's among them, and says how many times as fast its choice is; None: it
keeps the baseline. On identical models every choice but the baseline is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.plan import BASELINE
from pipeline.selftest.peers import welch_ratio

Traces = Mapping[str, NDArray[np.float64]]
"""The calls of each model, in seconds, in the order in which they were timed."""
FEW, MANY = 20, 100
THRESHOLD = 0.02
"""How much faster the best median of many calls must be."""


def best_median(traces: Traces, calls: int, threshold: float) -> float | None:
    """The model with the smallest median of its first calls, where it is faster than the baseline by more than a
    threshold (0.02 is 2 %)."""
    medians = {name: float(np.median(times[:calls])) for name, times in traces.items()}
    best = medians[BASELINE] / min(medians.values())
    return best if best > 1 + threshold else None


def best_by_welch(traces: Traces) -> float | None:
    """The model with the smallest mean of all its calls, where Welch's t at 5 % calls it faster than the baseline."""
    others = {name: times for name, times in traces.items() if name != BASELINE}
    best = min(others.values(), key=lambda times: float(times.mean()))
    ratio = welch_ratio(traces[BASELINE], best)
    return ratio["value"] if ratio["low"] > 1 else None


RULES: Mapping[str, Callable[[Traces], float | None]] = {
    f"best median of {FEW} calls": lambda traces: best_median(traces, FEW, 0.0),
    f"best median of {MANY} calls, if by more than {100 * THRESHOLD:g} %": lambda traces: best_median(
        traces, MANY, THRESHOLD
    ),
    "all calls of one, then all of the other; Welch's t": best_by_welch,
}
