"""The share of calls that miss a deadline."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.statistics.misses import Misses, misses

ALPHA = 0.05
Rounds = list[NDArray[np.float64]]


def rounds_of(rng: np.random.Generator, share: float, spread: float, count: int = 7) -> Rounds:
    """Rounds of 500 calls, late ones at 1 and the others at 0; how many are late varies by ``spread``."""
    shares = share * np.exp(spread * rng.standard_normal(count) - spread**2 / 2)
    return [(rng.random(500) < one).astype(float) for one in shares]


@pytest.mark.parametrize(("share", "spread"), [(0.001, 0.0), (0.001, 0.5), (0.02, 0.0), (0.02, 0.5), (0.3, 0.0)])
def test_the_interval_holds_the_true_share(share: float, spread: float) -> None:
    rng = np.random.default_rng(3)
    found = [misses(rounds_of(rng, share, spread), 0.5, ALPHA).interval(ALPHA) for _ in range(200)]
    assert sum(low <= share <= high for low, high in found) >= 0.93 * 200


def test_misses_that_crowd_in_a_round_tell_less_than_scattered_ones() -> None:
    scattered = [np.r_[np.ones(10), np.zeros(490)]] * 6
    crowded = [np.r_[np.ones(60), np.zeros(440)], *[np.zeros(500)] * 5]
    narrow, wide = (misses(rounds, 0.5, ALPHA) for rounds in (scattered, crowded))
    assert narrow.share == wide.share
    assert (narrow.design_effect, wide.interval(ALPHA)[1] > 2 * narrow.interval(ALPHA)[1]) == (1.0, True)


def test_without_a_miss_the_upper_end_is_the_exact_one() -> None:
    found = misses([np.zeros(1000)] * 3, 0.5, ALPHA)
    low, high = found.interval(ALPHA)
    assert (found.share, low) == (0.0, 0.0)
    assert high == pytest.approx(1 - (ALPHA / 2) ** (1 / 3000)), "Clopper and Pearson's for no success of 3000"


def test_a_share_with_misses_only_reaches_to_1() -> None:
    assert misses([np.ones(10)] * 3, 0.5, ALPHA).interval(ALPHA)[1] == 1.0


@pytest.mark.parametrize("found", [Misses(0, 500, 1.0), Misses(1, 5000, 1.0), Misses(3, 1000, 4.0)])
def test_the_calls_that_settle_it_do(found: Misses) -> None:
    calls = found.calls_to_settle(0.001, ALPHA)
    assert calls is not None
    assert calls > found.calls
    low, high = found.interval(ALPHA, calls / found.calls)
    assert high <= 0.001 or low > 0.001


def test_a_share_that_is_just_the_allowed_one_is_never_settled() -> None:
    assert Misses(1, 1000, 1.0).calls_to_settle(0.001, ALPHA) is None


def test_no_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="no call"):
        misses([], 1.0, ALPHA)
