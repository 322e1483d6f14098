"""Changes between runs: intervals that hold what they should, in simulated sessions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.statistics.latency import Estimate
from pipeline.statistics.sessions import BELIEF_SHIFTS, SESSION_SD, Ratio, Shifts, changed, shifts_of

ERROR = 0.005


def an_estimate(value: float, half_width: float) -> Estimate:
    return Estimate(value=value, low=0.5, high=2.0, p=0.5, blocks=10, rounds=5, half_width=half_width)


def change(before: list[float], after: float, shifts: Shifts | None = None, error: float = ERROR) -> Estimate:
    earlier = [Ratio(log=log, error=error) for log in before]
    now = Ratio(log=after, error=error)
    return changed(earlier, now, shifts or Shifts(), 0.05, blocks=10, rounds=5).estimate


def test_the_error_of_an_estimate_gives_its_interval_back() -> None:
    found = Ratio.of(an_estimate(2.0, 0.0196), 0.05)
    assert found.log == pytest.approx(math.log(2))
    assert found.error == pytest.approx(0.01, rel=1e-3)


def test_the_change_is_the_ratio_of_the_ratios() -> None:
    found = change([math.log(2.0)], math.log(1.9))
    assert found.value == pytest.approx(0.95)
    assert found.low < 0.95 < found.high


def test_unchanged_models_are_called_changed_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(0)
    spread = math.hypot(ERROR, SESSION_SD)
    called = 0
    for _ in range(2000):
        before, after = rng.normal(0, spread, 2)
        found = change([before], after)
        called += found.p < 0.05
        assert (found.p < 0.05) == (not found.low <= 1 <= found.high)
    assert 0.02 < called / 2000 < 0.06


def test_a_machine_that_moves_more_than_believed_is_learned_from_earlier_runs() -> None:
    rng = np.random.default_rng(0)
    spread = math.hypot(ERROR, 4 * SESSION_SD)
    learned = believed = 0
    for _ in range(1000):
        *before, after = rng.normal(0, spread, 11)
        shifts = shifts_of([[Ratio(log=log, error=ERROR) for log in before]])
        learned += change(before, after, shifts).p < 0.05
        believed += change(before, after).p < 0.05
    assert learned < believed / 2
    assert change([0.0], 0.0, Shifts(squares=0.01, freedom=5)).half_width > 2 * change([0.0], 0.0).half_width


def test_a_five_percent_slowdown_is_found() -> None:
    rng = np.random.default_rng(0)
    spread = math.hypot(ERROR, SESSION_SD)
    found = [change([rng.normal(0, spread)], rng.normal(-math.log(1.05), spread)).high < 1 for _ in range(1000)]
    assert np.mean(found) > 0.9


def test_the_belief_is_worth_its_shifts() -> None:
    assert Shifts().variance == pytest.approx(SESSION_SD**2)
    assert (Shifts(squares=BELIEF_SHIFTS * SESSION_SD**2, freedom=10)).variance == pytest.approx(SESSION_SD**2)
    together = Shifts(squares=1.0, freedom=1) + Shifts(squares=2.0, freedom=3)
    assert (together.squares, together.freedom) == (3.0, 4)


def test_what_the_errors_explain_is_no_shift() -> None:
    near = [Ratio(log=log, error=0.1) for log in (0.0, 0.05)]
    far = [Ratio(log=log, error=0.001) for log in (0.0, 0.05)]
    assert shifts_of([near]) == Shifts(squares=0.0, freedom=1)
    assert shifts_of([far]).squares == pytest.approx(0.05**2 / 2, rel=0.01)
    assert shifts_of([[near[0]]]) == Shifts()


def test_a_run_without_an_interval_leaves_everything_open() -> None:
    found = change([0.0], -0.5, error=math.inf)
    assert (found.low, found.high, found.p) == (0.0, math.inf, 1.0)


def test_there_must_be_an_earlier_run() -> None:
    with pytest.raises(ValueError, match="no earlier run"):
        change([], 0.0)
