"""Against published examples, exactly where the distribution is small enough to be summed, and by properties."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from pipeline.statistics.accuracy import (
    PairedDifference,
    accuracy_verdict,
    exact_mcnemar,
    mean_interval,
    n_to_decide,
    paired_difference,
    wilson,
)


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_are_those_of_newcombe_1998_table_1(count: int, n: int, low: float, high: float) -> None:
    interval = wilson(count, n)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    assert interval.value == count / n


@pytest.mark.parametrize(
    ("gained", "lost", "n", "alpha", "low", "high"),
    [
        (0, 1, 44, 0.10, -0.096, 0.037),  # Tango 1998: disinfection of contact lenses
        (9, 3, 32, 0.05, -0.027, 0.390),  # Tango 1998: severe colds at the ages of 12 and 14
        (1, 7, 21, 0.05, -0.517, -0.026),  # Fagerland, Lydersen & Laake 2014: airway hyper-responsiveness
    ],
)
def test_paired_intervals_are_those_of_published_examples(
    gained: int, lost: int, n: int, alpha: float, low: float, high: float
) -> None:
    interval = paired_difference(gained, lost, n, alpha)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-4)
    assert interval.value == (gained - lost) / n


@pytest.mark.parametrize(("gained", "lost", "p"), [(12, 2, 0.0129), (1, 7, 0.0703), (0, 0, 1.0), (4, 4, 1.0)])
def test_mcnemar_is_the_exact_one(gained: int, lost: int, p: float) -> None:
    assert exact_mcnemar(gained, lost) == pytest.approx(p, abs=5e-5)


def test_without_a_flip_the_paired_interval_is_as_wide_as_wilsons_for_no_event() -> None:
    interval = paired_difference(0, 0, 100)
    assert interval.high == pytest.approx(wilson(0, 100).high)
    assert interval.low == pytest.approx(-interval.high)


counts = st.integers(1, 20_000).flatmap(
    lambda n: st.tuples(st.integers(0, n), st.just(n)).flatmap(
        lambda pair: st.tuples(st.integers(0, pair[1] - pair[0]), st.just(pair[0]), st.just(pair[1]))
    )
)


@settings(deadline=None)  # the first call imports scipy
@given(counts)
def test_the_paired_interval_holds_the_estimate_and_stays_in_range(case: tuple[int, int, int]) -> None:
    interval = paired_difference(*case)
    assert -1 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high


@settings(deadline=None)  # the first call imports scipy
@given(counts)
def test_swapping_the_two_models_mirrors_the_interval(case: tuple[int, int, int]) -> None:
    gained, lost, n = case
    there, back = paired_difference(gained, lost, n), paired_difference(lost, gained, n)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-8)
    assert there.p == back.p


@pytest.mark.parametrize(("gained", "lost", "n"), [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_impossible_counts_are_refused(gained: int, lost: int, n: int) -> None:
    with pytest.raises(ValueError, match="not possible"):
        paired_difference(gained, lost, n)


@pytest.mark.parametrize(("count", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_proportions_are_refused(count: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson(count, n)


SIZE = 60


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Every possible (gained, lost, neither) of SIZE examples, and its interval."""
    cells = [(gained, lost, SIZE - gained - lost) for gained in range(SIZE + 1) for lost in range(SIZE + 1 - gained)]
    found = [paired_difference(gained, lost, SIZE) for gained, lost, _ in cells]
    return np.array(cells), np.array([(interval.low, interval.high) for interval in found])


@pytest.mark.parametrize(("gain", "loss"), [(0.05, 0.05), (0.05, 0.10), (0.02, 0.12), (0.2, 0.2)])
def test_the_paired_interval_covers_the_true_difference_in_about_95_percent(gain: float, loss: float) -> None:
    cells, intervals = _tables()
    chance = multinomial.pmf(cells, SIZE, [gain, loss, 1 - gain - loss])
    truth = gain - loss
    covered = chance[(intervals[:, 0] <= truth) & (truth <= intervals[:, 1])].sum()
    assert 0.935 < covered < 0.98


def test_a_drop_as_large_as_the_margin_passes_in_at_most_about_2_5_percent() -> None:
    cells, intervals = _tables()
    chance = multinomial.pmf(cells, SIZE, [0.02, 0.12, 0.86])
    passed = [
        accuracy_verdict(low, high, margin=0.10).startswith(("IMPROVED", "NO ", "SMALL")) for low, high in intervals
    ]
    assert 0.001 < chance[np.array(passed)].sum() < 0.035


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.02, "IMPROVED"),
        (-0.009, 0.0, "NO MEANINGFUL DROP"),
        (-0.009, 0.02, "NO MEANINGFUL DROP"),
        (-0.009, -0.001, "SMALL REAL DROP"),
        (-0.05, -0.011, "FAILS MARGIN"),
        (-0.05, -0.01, "DROP"),
        (-0.01, -0.001, "DROP"),
        (-0.01, 0.0, "UNDECIDED"),
        (-0.05, 0.05, "UNDECIDED"),
    ],
)
def test_the_verdict_follows_from_the_interval_and_a_margin_of_one_point(low: float, high: float, verdict: str) -> None:
    assert accuracy_verdict(low, high, margin=0.01) == verdict


def _undecided(gained: int, lost: int, n: int) -> PairedDifference:
    difference = paired_difference(gained, lost, n)
    assert accuracy_verdict(difference.low, difference.high, 0.01) == "UNDECIDED"
    return difference


def test_without_a_difference_the_number_to_decide_is_7_85_times_the_rate_of_flips_over_the_squared_margin() -> None:
    assert n_to_decide(_undecided(15, 15, 1000), 0.01) == pytest.approx(7.85 * 0.03 / 0.01**2, rel=0.03)


def test_with_the_number_to_decide_the_same_rates_are_decided() -> None:
    wanted = n_to_decide(_undecided(10, 13, 500), 0.01)
    assert wanted is not None
    assert wanted > 500
    more = paired_difference(round(0.02 * wanted), round(0.026 * wanted), wanted)
    assert accuracy_verdict(more.low, more.high, 0.01) != "UNDECIDED"


def test_without_a_flip_the_number_to_decide_is_what_makes_wilson_narrow_enough() -> None:
    assert n_to_decide(_undecided(0, 0, 50), 0.01) == 390


def test_with_a_margin_of_0_and_no_difference_no_number_would_decide() -> None:
    assert n_to_decide(paired_difference(5, 5, 100), 0.0) is None


@pytest.mark.parametrize("values", [[0.9], [0.9, 0.99], [1.0, 0.5, 1.0]])
def test_the_mean_of_few_values_has_an_interval_without_a_warning(values: list[float]) -> None:
    found = mean_interval(np.array(values))
    assert min(values) <= found.low <= found.value <= found.high <= max(values)
