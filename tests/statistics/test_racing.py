import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.statistics.latency import paired_ratio
from pipeline.statistics.racing import PROCESS_SD, standing

BLOCKS, ROUNDS = 8, 4
Floats = NDArray[np.float64]


def cells(rng: np.random.Generator, process_sd: float) -> Floats:
    """The log times of one process in a round: its own luck, the blocks' noise, and a spike now and then."""
    spikes = (rng.random(BLOCKS) < 0.05) * rng.exponential(0.3, BLOCKS)
    luck: float = rng.normal(0, process_sd)
    return luck + rng.normal(0, 0.02, BLOCKS) + spikes


def traces(rng: np.random.Generator, gains: Sequence[float], process_sd: float) -> list[list[Floats]]:
    """The differences of each candidate by round; all share the reference's processes."""
    references = [cells(rng, process_sd) for _ in range(ROUNDS)]
    return [[reference + gain - cells(rng, process_sd) for reference in references] for gain in gains]


def left_after(found: Sequence[Sequence[Floats]]) -> dict[int, int]:
    """Which candidates a race drops, and after which round: their upper end is below the best one's lower end."""
    racing, left = set(range(len(found))), {}
    for rounds in range(1, ROUNDS + 1):
        standings = {number: standing(found[number][:rounds]) for number in racing}
        bar = max(each.low for each in standings.values())
        gone = [number for number in racing if standings[number].high < bar]
        left.update(dict.fromkeys(gone, rounds))
        racing.difference_update(gone)
    return left


@pytest.mark.parametrize("process_sd", [0.01, 0.02])
def test_the_best_of_twenty_is_hardly_ever_dropped(process_sd: float) -> None:
    rng = np.random.default_rng(3)
    gains = [0.0, *-np.linspace(0.005, 0.3, 19)]
    dropped = [left_after(traces(rng, gains, process_sd)) for _ in range(100)]
    assert sum(0 in left for left in dropped) <= 2
    assert np.mean([len(left) for left in dropped]) > 12, "a race that drops nobody is no race"


def test_the_best_of_twenty_that_are_nearly_alike_is_hardly_ever_dropped() -> None:
    rng = np.random.default_rng(4)
    gains = [0.0, *[-0.001] * 19]
    assert sum(0 in left_after(traces(rng, gains, 0.01)) for _ in range(50)) <= 1


def test_what_is_15_percent_slower_leaves_after_two_rounds() -> None:
    rng = np.random.default_rng(5)
    gains = [0.0, *[-math.log(1.15)] * 19]
    dropped = [left_after(traces(rng, gains, 0.01)) for _ in range(30)]
    share = np.mean([sum(left.get(number, 9) <= 2 for number in range(1, 20)) / 19 for left in dropped])
    assert share > 0.9
    assert not any(0 in left for left in dropped)


def test_one_round_is_as_sure_as_the_belief_about_processes() -> None:
    found = standing([np.full(8, 0.1)])
    assert found.value == pytest.approx(math.exp(0.1))
    reach = 2.7764 * PROCESS_SD  # Student's t with four degrees of freedom
    assert math.log(found.high) == pytest.approx(0.1 + reach, rel=1e-4)
    assert math.log(found.low) == pytest.approx(0.1 - reach, rel=1e-4)


def test_two_rounds_are_narrower_than_the_interval_that_only_takes_what_was_seen() -> None:
    found = [rounds[:2] for rounds in traces(np.random.default_rng(6), [0.2] * 20, 0.01)]
    seen = [paired_ratio(rounds, 0.05).half_width for rounds in found]
    believed = [math.log(each.high / each.low) / 2 for each in map(standing, found)]
    assert np.mean(believed) < np.mean(seen) / 2


def test_rounds_that_disagree_widen_it() -> None:
    noise = np.linspace(-0.01, 0.01, 8)
    alike, apart = standing([noise, noise]), standing([noise - 0.1, noise + 0.1])
    assert apart.high / apart.low > 1.2 > 1.1 > alike.high / alike.low


def test_more_rounds_narrow_it() -> None:
    noise = np.linspace(-0.01, 0.01, 8)
    widths = [found.high / found.low for found in (standing([noise] * rounds) for rounds in (1, 2, 3, 4))]
    assert widths == sorted(widths, reverse=True)


def test_noisy_blocks_widen_it_and_one_spike_does_not() -> None:
    quiet = np.linspace(-0.01, 0.01, 12)
    spiked = np.append(quiet[:-1], 2.0)
    width, by_spike, by_noise = (
        found.high / found.low - 1 for found in (standing([quiet]), standing([spiked]), standing([20 * quiet]))
    )
    assert by_spike == pytest.approx(width, rel=0.2)
    assert by_noise > 2 * width


def test_too_few_blocks_reach_everything() -> None:
    found = standing([np.array([0.1]), np.array([0.1])])
    assert (found.low, found.high) == (0.0, math.inf)


def test_without_blocks_there_is_nothing_to_estimate() -> None:
    with pytest.raises(ValueError, match="no block"):
        standing([np.empty(0)])


def test_rounds_without_blocks_count_for_nothing() -> None:
    noise = np.linspace(-0.01, 0.01, 8)
    assert standing([noise, np.empty(0)]) == standing([noise])
