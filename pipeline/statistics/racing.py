"""Which candidate of a race can still win, after one to four short rounds? Pure functions of paired log-ratios.

A process keeps one memory layout for its life, and one or two rounds show little of how far processes differ. The
interval of ``pipeline.statistics.latency`` only takes what was seen: it is unbounded after one round and uselessly wide
after two. Here a stated belief about that spread stands in until the rounds have their say. That is good enough to drop
what is far behind, and for nothing else: no verdict comes from it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pipeline.statistics.latency import Floats, hodges_lehmann, walsh_interval

PROCESS_SD = 0.015
"""How far the log-ratio of two processes that run the same two models is believed to vary (its standard deviation): 1 %
for each process."""
BELIEF_ROUNDS = 4.0
"""How many rounds' degrees of freedom that belief is worth."""
_ALPHA = 0.05
_ONE_ERROR = 2 * NormalDist().cdf(-1)
"""The level whose interval reaches one standard error to each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A candidate's speed-up over its reference so far: ratios, above 1 is faster. Only fit for dropping candidates."""

    value: float
    low: float
    high: float
    blocks: int
    rounds: int


def standing(
    differences_by_round: Sequence[Floats], *, alpha: float = _ALPHA, process_sd: float = PROCESS_SD
) -> Standing:
    """The speed-up from the differences (as for ``paired_ratio``) of each round's blocks, in few rounds.

    The value is the Hodges-Lehmann estimate of all differences. A round's own estimate varies with its blocks and with
    its processes. Its variance is believed to be ``process_sd`` squared plus what its blocks' spread makes it, and is
    updated by the rounds as a scaled inverse chi-squared prior with ``BELIEF_ROUNDS`` degrees of freedom; the interval
    is the t interval at level 1 - alpha that follows. It is unbounded with fewer than two blocks more than rounds.
    Raises ValueError without blocks.

    Source: Gelman et al., Bayesian Data Analysis (3rd edition), sections 2.6 and 3.2.
    """
    from scipy.special import stdtrit

    rounds = [np.asarray(differences, np.float64) for differences in differences_by_round if len(differences)]
    if not rounds:
        raise ValueError("there is no block to estimate a speed-up from")
    estimates = [hodges_lehmann(differences) for differences in rounds]
    center = hodges_lehmann(np.concatenate(rounds))
    believed = process_sd**2 + _variance_by_blocks(rounds, estimates)
    seen = sum((estimate - float(np.mean(estimates))) ** 2 for estimate in estimates)
    freedom = BELIEF_ROUNDS + len(rounds) - 1
    variance = (BELIEF_ROUNDS * believed + seen) / freedom
    reach = float(stdtrit(freedom, 1 - alpha / 2)) * math.sqrt(variance / len(rounds))
    return Standing(
        value=math.exp(center),
        low=math.exp(center - reach),
        high=math.exp(min(center + reach, 700.0)) if math.isfinite(reach) else math.inf,
        blocks=sum(map(len, rounds)),
        rounds=len(rounds),
    )


def _variance_by_blocks(rounds: Sequence[Floats], estimates: Sequence[float]) -> float:
    """The variance of a round's estimate that comes from its blocks, from the spread of all blocks around their round's
    estimate.

    Lehmann 1963: the length of a Walsh interval tells the estimate's error, and a spike does not spoil it.
    """
    blocks = sum(map(len, rounds))
    if blocks < len(rounds) + 2:
        return math.inf
    around = np.concatenate([differences - own for differences, own in zip(rounds, estimates, strict=True)])
    low, high = walsh_interval(around, _ONE_ERROR)
    return ((high - low) / 2) ** 2 * blocks / (blocks - len(rounds)) * len(rounds)
