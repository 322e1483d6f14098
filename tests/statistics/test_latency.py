import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.results.figures import SpeedVerdict
from pipeline.statistics.latency import (
    Estimate,
    blocks_to_settle,
    hodges_lehmann,
    holm,
    minimum_detectable_effect,
    paired_ratio,
    rounds_interval,
    speed_verdict,
    trimmed_rounds_interval,
    walsh_interval,
)

# Hamilton's depression scale of nine patients before and after a tranquilizer (Hollander & Wolfe 1973, table 3.1; also
# the example of R's wilcox.test).
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
DEPRESSION = AFTER - BEFORE

FLOATS = st.floats(-2.0, 2.0, allow_nan=False).map(lambda value: round(value, 6))
DIFFERENCES = arrays(np.float64, st.integers(8, 40), elements=FLOATS)


def an_estimate(value: float, low: float, high: float, *, blocks: int = 100) -> Estimate:
    return Estimate(
        value=value,
        low=low,
        high=high,
        p=0.01,
        rounds=7,
        blocks=blocks,
        half_width=(math.log(high) - math.log(low)) / 2,
    )


def test_the_estimate_is_that_of_the_published_example() -> None:
    assert hodges_lehmann(DEPRESSION) == pytest.approx(-0.46)


def test_the_interval_is_that_of_the_published_example() -> None:
    assert walsh_interval(DEPRESSION, alpha=0.05) == pytest.approx((-0.786, -0.010))


def test_the_p_value_is_that_of_the_published_example_unless_the_rounds_are_less_sure() -> None:
    # V = 5, one-sided p = 0.01953. In this order the rounds agree, and their own p is smaller than that.
    rounds = [DEPRESSION[[0, 1, 3]], DEPRESSION[[5, 4, 7]], DEPRESSION[[2, 8, 6]]]
    assert paired_ratio(rounds, alpha=0.05).p == pytest.approx(2 * 0.01953125)
    assert paired_ratio([DEPRESSION], alpha=0.05).p == 1.0, "one round shows nothing"


def test_too_few_differences_give_no_bounded_interval() -> None:
    assert walsh_interval(np.array([0.1, 0.2, 0.3]), alpha=0.05) == (-math.inf, math.inf)


@given(DIFFERENCES, FLOATS)
@settings(max_examples=50, deadline=None)
def test_a_shift_moves_the_estimate_and_its_interval_along(d: NDArray[np.float64], shift: float) -> None:
    low, high = walsh_interval(d, 0.05)
    assert hodges_lehmann(d + shift) == pytest.approx(hodges_lehmann(d) + shift, abs=1e-9)
    assert walsh_interval(d + shift, 0.05) == pytest.approx((low + shift, high + shift), abs=1e-9)


@given(DIFFERENCES, st.floats(0.01, 100.0))
@settings(max_examples=50, deadline=None)
def test_a_scale_stretches_the_estimate_and_its_interval(d: NDArray[np.float64], scale: float) -> None:
    low, high = walsh_interval(d, 0.05)
    assert hodges_lehmann(d * scale) == pytest.approx(hodges_lehmann(d) * scale, abs=1e-9)
    assert walsh_interval(d * scale, 0.05) == pytest.approx((low * scale, high * scale), abs=1e-9)


@given(st.lists(DIFFERENCES, min_size=2, max_size=5))
@settings(max_examples=50, deadline=None)
def test_swapping_the_two_sides_inverts_the_ratio(rounds: list[NDArray[np.float64]]) -> None:
    forth, back = paired_ratio(rounds, 0.05), paired_ratio([-d for d in rounds], 0.05)
    assert back.value == pytest.approx(1 / forth.value)
    assert (back.low, back.high) == pytest.approx((1 / forth.high, 1 / forth.low))
    assert back.p == pytest.approx(forth.p)


@given(st.lists(DIFFERENCES, min_size=1, max_size=5), st.sampled_from([0.01, 0.03, 0.05, 0.3]))
@settings(max_examples=50, deadline=None)
def test_the_interval_always_holds_the_estimate(rounds: list[NDArray[np.float64]], alpha: float) -> None:
    found = paired_ratio(rounds, alpha)
    assert found.low <= found.value <= found.high


def test_one_spike_hardly_moves_the_estimate() -> None:
    d = np.linspace(-0.01, 0.01, 31)
    spiked = d.copy()
    spiked[-1] = 5.0
    assert abs(hodges_lehmann(spiked) - hodges_lehmann(d)) < 0.001


def test_identical_latencies_differ_by_nothing() -> None:
    found = paired_ratio([np.zeros(8), np.zeros(8)], alpha=0.05)
    assert (found.value, found.low, found.high, found.p) == (1.0, 1.0, 1.0, 1.0)


def test_a_constant_difference_is_certain() -> None:
    found = paired_ratio([np.full(8, math.log(2))] * 2, alpha=0.05)
    assert (found.low, found.high) == pytest.approx((2.0, 2.0))
    assert found.p < 0.001


def test_without_blocks_there_is_nothing_to_estimate() -> None:
    with pytest.raises(ValueError, match="no block"):
        paired_ratio([np.array([])], alpha=0.05)


def test_rounds_that_disagree_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    agreeing = [rng.normal(0, 0.01, 32) for _ in range(7)]
    disagreeing = [d + shift for d, shift in zip(agreeing, np.linspace(-0.05, 0.05, 7), strict=True)]
    assert paired_ratio(disagreeing, 0.05).half_width > 5 * paired_ratio(agreeing, 0.05).half_width


def test_the_interval_over_rounds_is_students() -> None:
    # Mean 2, standard deviation 1, t(0.975, 2) = 4.302653
    assert rounds_interval(np.array([1.0, 2.0, 3.0]), 0.05) == pytest.approx(
        (2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3))
    )
    assert rounds_interval(np.array([1.0]), 0.05) == (-math.inf, math.inf)


def simulated(rng: np.random.Generator, effect: float, rounds: int = 7, blocks: int = 16) -> list[NDArray[np.float64]]:
    """Blocks with one-sided spikes on either side, in rounds whose processes differ by 1 %."""
    spikes = rng.exponential(0.05, (2, rounds, blocks)) * (rng.random((2, rounds, blocks)) < 0.1)
    noise = rng.normal(0, 0.02, (rounds, blocks)) + spikes[0] - spikes[1]
    return list(effect + rng.normal(0, 0.01, (rounds, 1)) + noise)


@pytest.mark.parametrize("effect", [0.0, math.log(1.03)])
def test_the_interval_covers_the_truth_where_processes_differ(effect: float) -> None:
    rng = np.random.default_rng(20240)
    found = [paired_ratio(simulated(rng, effect), 0.05) for _ in range(300)]
    covered = sum(estimate.low <= math.exp(effect) <= estimate.high for estimate in found)
    assert covered >= 0.93 * len(found)
    pooled = [walsh_interval(np.concatenate(simulated(rng, effect)), 0.05) for _ in range(300)]
    assert sum(low <= effect <= high for low, high in pooled) < 0.85 * len(pooled), "the rounds are what widens it"


def test_the_p_value_of_identical_models_is_rarely_small() -> None:
    rng = np.random.default_rng(20241)
    assert sum(paired_ratio(simulated(rng, 0.0), 0.05).p < 0.05 for _ in range(300)) <= 0.07 * 300


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(20242)
    assert sum(paired_ratio(simulated(rng, math.log(1.03)), 0.05).low > 1 for _ in range(100)) >= 95


def test_the_trimmed_interval_is_tukey_and_mclaughlins() -> None:
    from scipy.stats.mstats import trimmed_mean_ci

    expected = trimmed_mean_ci(DEPRESSION, limits=(1 / 9, 1 / 9), alpha=0.05)
    assert trimmed_rounds_interval(DEPRESSION, 0.05) == pytest.approx(expected)


def test_one_odd_round_hardly_widens_the_trimmed_interval() -> None:
    odd = np.append(np.linspace(-0.01, 0.01, 19), 0.4)
    plain, trimmed = rounds_interval(odd, 0.03), trimmed_rounds_interval(odd, 0.03)
    assert trimmed[1] - trimmed[0] < 0.02 < plain[1] - plain[0]


def test_too_few_rounds_give_no_bounded_trimmed_interval() -> None:
    assert trimmed_rounds_interval(np.array([0.1, 0.2, 0.3]), 0.05) == (-math.inf, math.inf)


def test_holm_steps_down_from_the_smallest() -> None:
    # Holm 1979: 4 x 0.005, 3 x 0.01, 2 x 0.03, and no smaller than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.999))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float], level: float) -> None:
    rejected = 0
    for p in sorted(p_values):
        if p * (len(p_values) - rejected) > level:
            break
        rejected += 1
    assert sum(p <= level for p in holm(p_values)) == rejected


@pytest.mark.parametrize(
    ("estimate", "p", "verdict"),
    [
        (an_estimate(1.50, 1.45, 1.55), 0.001, "FASTER"),
        (an_estimate(0.50, 0.45, 0.55), 0.001, "SLOWER"),
        (an_estimate(1.50, 1.45, 1.55), 0.060, "FASTER, not confirmed"),
        (an_estimate(3.01, 2.48, 3.68), 0.210, "FASTER, not confirmed"),
        (an_estimate(0.10, 0.05, 0.22), 0.210, "SLOWER, not confirmed"),
        (an_estimate(1.02, 1.005, 1.035), 0.001, "SLIGHTLY FASTER"),
        (an_estimate(0.98, 0.965, 0.995), 0.001, "SLIGHTLY SLOWER"),
        (an_estimate(1.00, 0.985, 1.015), 0.900, "SAME"),
        (an_estimate(1.01, 0.970, 1.050), 0.500, "INCONCLUSIVE"),
    ],
)
def test_the_verdict_is_the_first_that_holds(estimate: Estimate, p: float, verdict: SpeedVerdict) -> None:
    assert speed_verdict(estimate, p) == verdict


def test_a_noisy_run_judges_nothing() -> None:
    assert speed_verdict(an_estimate(1.50, 1.45, 1.55), 0.001, noisy=True) == "NOISY"


@pytest.mark.parametrize("value", [2.0, 0.5])
def test_a_screening_never_says_faster_or_slower(value: float) -> None:
    assert speed_verdict(an_estimate(value, value * 0.99, value * 1.01), 0.001, screening=True) == "SCREENED"
    assert speed_verdict(an_estimate(1.00, 0.99, 1.01), 0.9, screening=True) == "SAME"


def test_half_the_wanted_width_takes_four_times_the_blocks() -> None:
    width = 2 * math.log(1.02)
    estimate = an_estimate(1.0, math.exp(-width), math.exp(width), blocks=100)
    assert blocks_to_settle(estimate) == pytest.approx(400, abs=1)


def test_a_clear_difference_is_settled_sooner_than_none() -> None:
    near, far = an_estimate(1.00, 0.90, 1.10), an_estimate(1.08, 0.98, 1.18)
    needed = [blocks_to_settle(estimate) for estimate in (near, far)]
    assert needed[0] is not None
    assert needed[1] is not None
    assert needed[1] < needed[0]


def test_an_unbounded_interval_says_nothing_about_the_blocks_needed() -> None:
    assert blocks_to_settle(paired_ratio([np.full(8, 0.1)], alpha=0.05)) is None


def test_the_detectable_effect_is_larger_than_the_half_width() -> None:
    # (1.959964 + 0.841621) / 1.959964 = 1.429406
    assert minimum_detectable_effect(0.01, alpha=0.05) == pytest.approx(math.expm1(0.01429406))
