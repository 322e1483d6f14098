"""Percentiles, rates and shares with intervals over rounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.statistics.rounds import quantile_over_rounds, rate_over_rounds


def _rounds(rng: np.random.Generator, count: int) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Rounds that differ in their speed and in how often a call is late."""
    found = []
    for _ in range(count):
        late = (rng.random(700) < 0.03 * math.exp(rng.normal(0, 0.6))) * rng.exponential(0.4, 700)
        found.append(np.exp(rng.normal(0, 0.03) + rng.normal(0, 0.02, 700) + late))
    return found


def test_the_interval_of_a_tail_covers_the_tail_of_all_calls() -> None:
    rng = np.random.default_rng(5)
    truth = float(np.quantile(np.concatenate(_rounds(rng, 2000)), 0.99))
    found = [quantile_over_rounds(_rounds(rng, 7), 0.99, 0.05) for _ in range(200)]
    assert sum(each.low <= truth <= each.high for each in found if each.low and each.high) >= 0.85 * 200


def test_an_estimate_lies_inside_its_interval_and_not_at_its_end() -> None:
    rng = np.random.default_rng(6)
    slow = [rng.lognormal(0.2, 0.05, 1000)]  # a round that makes the tail of all calls, and no other round's
    rounds = [*(rng.lognormal(0, 0.05, 1000) for _ in range(6)), *slow]
    for found in (quantile_over_rounds(rounds, 0.99, 0.05), rate_over_rounds(rounds, 1, 0.05)):
        assert found.low is not None
        assert found.high is not None
        assert found.low < 0.99 * found.value < 1.01 * found.value < found.high


def test_a_rate_is_examples_by_the_time_that_all_calls_took() -> None:
    found = rate_over_rounds([np.array([1.0, 3.0]), np.array([2.0]), np.array([2.0, 2.0])], 4, 0.05)
    assert found.value == pytest.approx(4 * 5 / 0.010)
    assert found.low is not None


def test_a_quantile_has_an_interval_over_rounds_that_holds_it() -> None:
    rng = np.random.default_rng(1)
    found = quantile_over_rounds([rng.lognormal(0, 0.1, 1000) for _ in range(7)], 0.99, 0.05)
    assert found.low is not None
    assert found.high is not None
    assert 0 < found.low <= found.value <= found.high
    assert found.low < math.exp(0.1 * 2.326) < found.high


def test_the_interval_of_a_quantile_covers_the_truth_where_rounds_differ() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        rounds = [rng.lognormal(rng.normal(0, 0.05), 0.1, 200) for _ in range(7)]
        found = quantile_over_rounds(rounds, 0.5, 0.05)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1.0 <= found.high
    assert covered >= 0.92 * 200


@pytest.mark.parametrize(("calls", "rounds"), [(400, 7), (1000, 2)])
def test_a_quantile_has_no_interval_where_samples_are_too_few(calls: int, rounds: int) -> None:
    found = quantile_over_rounds([np.linspace(1, 2, calls)] * rounds, 0.99, 0.05)
    assert found.value == pytest.approx(1.99, abs=0.001)
    assert (found.low, found.high) == (None, None)


def test_a_quantile_of_no_calls_is_refused() -> None:
    with pytest.raises(ValueError, match="no call"):
        quantile_over_rounds([], 0.5, 0.05)
