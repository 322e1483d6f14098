"""The share of calls that miss a deadline, and whether enough calls keep it. Pure functions of latencies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.statistics.rounds import Floats, filled

_MOST_CALLS = 10**9
_STEP = 1.1
"""By this factor the number of calls grows that is tried."""


@dataclass(frozen=True, slots=True)
class Misses:
    """The calls above a limit, counted so that calls of one round may depend on each other."""

    above: int
    calls: int
    design_effect: float
    """How many calls tell as much as one independent call."""

    @property
    def share(self) -> float:
        """The share of the calls."""
        return self.above / self.calls

    def interval(self, alpha: float, times: float = 1.0) -> tuple[float, float]:
        """The interval of the share; ``times`` is how many times as many calls are taken, with the same share.

        Clopper & Pearson's interval for as many independent calls as tell the same (Korn & Graubard 1998, Confidence
        intervals for proportions with small expected number of positive counts estimated from survey data). So there
        is one where no call misses, or only few do.
        """
        from scipy.stats import beta

        calls = times * self.calls / self.design_effect
        above = calls * self.share
        low = 0.0 if self.above == 0 else float(beta.ppf(alpha / 2, above, calls - above + 1))
        high = 1.0 if self.above == self.calls else float(beta.ppf(1 - alpha / 2, above + 1, calls - above))
        return low, high

    def calls_to_settle(self, allowed: float, alpha: float) -> int | None:
        """About how many calls, with the same share of misses, tell whether more than ``allowed`` miss; None where the
        share is just that one, or no number of calls that could be made would do."""
        times = 1.0
        while self.share != allowed and times * self.calls <= _MOST_CALLS:
            low, high = self.interval(alpha, times)
            if high <= allowed or low > allowed:
                return math.ceil(times * self.calls)
            times *= _STEP
        return None


def misses(values_by_round: Sequence[Floats], limit: float, alpha: float) -> Misses:
    """The calls above ``limit``; ``values_by_round`` are latencies, an array a round. Raises ValueError without calls.

    Where misses crowd in some rounds, a call tells less: the share's variance over the rounds is held against that of
    independent calls, with the factor by which so few rounds widen an interval.
    """
    rounds = filled(values_by_round)
    above = np.array([np.count_nonzero(calls > limit) for calls in rounds])
    sizes = np.array([len(calls) for calls in rounds])
    return Misses(int(above.sum()), int(sizes.sum()), _design_effect(above, sizes, alpha))


def _design_effect(above: NDArray[np.int64], sizes: NDArray[np.int64], alpha: float) -> float:
    from scipy.stats import norm, t

    rounds, share = len(sizes), above.sum() / sizes.sum()
    if rounds < 2 or share in (0.0, 1.0):
        return 1.0
    variance = rounds / (rounds - 1) * float(np.sum((above - share * sizes) ** 2)) / float(sizes.sum()) ** 2
    widened = (t.ppf(1 - alpha / 2, rounds - 1) / norm.ppf(1 - alpha / 2)) ** 2
    return max(1.0, float(widened * variance * sizes.sum() / (share * (1 - share))))
