from __future__ import annotations

import math

import pytest

from pipeline.statistics.accuracy import wilson
from pipeline.statistics.reproduced import Figure, difference, ratio


def share(count: int, n: int) -> Figure:
    found = wilson(count, n)
    return Figure(value=found.value, low=found.low, high=found.high)


@pytest.mark.parametrize(
    ("here", "there", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 10), 0.6075, 1.0)],
)
def test_the_difference_of_two_shares_is_that_of_newcombes_published_examples(
    here: tuple[int, int], there: tuple[int, int], low: float, high: float
) -> None:
    found = difference(share(*here), share(*there))
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_the_difference_the_other_way_round_is_its_negative() -> None:
    found, other = difference(share(9, 10), share(3, 10)), difference(share(3, 10), share(9, 10))
    assert (found.value, found.low, found.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_a_ratio_of_a_figure_to_itself_is_1_with_an_interval_wider_than_either() -> None:
    figure = Figure(value=2.0, low=1.9, high=2.1)
    found = ratio(figure, figure)
    assert found.value == pytest.approx(1.0)
    assert found.high == pytest.approx(math.exp(math.hypot(math.log(2.1 / 2.0), math.log(2.0 / 1.9))))
    assert found.low == pytest.approx(1 / found.high)
