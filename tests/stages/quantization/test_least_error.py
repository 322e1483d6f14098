"""The range with the smallest squared error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.quantization.least_error import NARROWEST, least_error_range


def chosen(values: np.ndarray, symmetric: bool = False, levels: int = 256) -> tuple[float, float]:
    reach = float(np.abs(values).max())
    histogram, edges = np.histogram(values, 2048, range=(-reach, reach))
    return least_error_range(
        histogram, edges, float(values.min()), float(values.max()), levels=levels, symmetric=symmetric
    )


def error(values: np.ndarray, low: float, high: float, levels: int = 256) -> float:
    step = (high - low) / (levels - 1)
    return float(np.mean((values - (np.round((np.clip(values, low, high) - low) / step) * step + low)) ** 2))


@pytest.mark.parametrize("symmetric", [False, True])
def test_it_loses_less_than_the_whole_range_where_there_are_outliers(symmetric: bool) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 20000), [12.0, -11.0]])
    low, high = chosen(values, symmetric, levels=16)
    whole = 12.0 if symmetric else 11.0
    assert error(values, low, high, 16) < 0.7 * error(values, -whole, 12.0, 16)
    assert (low == -high) == symmetric


def test_even_values_keep_the_whole_range() -> None:
    values = np.linspace(-1, 1, 20000)
    assert chosen(values) == pytest.approx((-1, 1), abs=0.02)


def test_more_levels_cut_off_less() -> None:
    values = np.random.default_rng(1).normal(0, 1, 20000)
    few, many = chosen(values, levels=16), chosen(values, levels=2**16)
    assert many[1] - many[0] > few[1] - few[0]


def test_what_is_never_negative_starts_at_zero() -> None:
    values = np.abs(np.random.default_rng(2).normal(0, 1, 5000))
    assert chosen(values)[0] == 0.0


def test_a_tensor_that_is_always_zero_keeps_its_range() -> None:
    nothing, edges = np.zeros(8, int), np.zeros(9)
    assert least_error_range(nothing, edges, 0.0, 0.0, levels=256, symmetric=False) == (0.0, 0.0)


@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=50), st.booleans())
def test_the_range_holds_zero_and_stays_within_what_occurred(found: list[float], symmetric: bool) -> None:
    values = np.array(found)
    if not np.abs(values).max() > 1e-6:
        return
    low, high = chosen(values, symmetric)
    reach = np.abs(values).max()
    assert low <= 0.0 <= high
    assert -reach - 1e-9 <= low
    assert high <= reach + 1e-9
    assert high - low >= NARROWEST * min(reach, values.max() - min(values.min(), 0.0)) - 1e-6
