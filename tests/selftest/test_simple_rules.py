from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.selftest.simple_rules import RULES, Traces, best_by_welch, best_median

COPIES = [f"copy_{number:02d}" for number in range(1, 21)]


def one_after_another(rng: np.random.Generator, names: Sequence[str], calls: int = 400) -> Traces:
    """The same model again and again on a machine whose speed wanders: 2 % from one to the next, 2 % from call to
    call."""
    speed = np.cumsum(rng.normal(0, 0.02, len(names)))
    return {name: 4e-4 * np.exp(speed[at] + rng.normal(0, 0.02, calls)) for at, name in enumerate(names)}


def flat(**ms: float) -> Traces:
    return {name: np.full(200, value / 1e3) + np.linspace(0, 1e-9, 200) for name, value in ms.items()}


def test_the_best_median_wins_by_however_little() -> None:
    assert best_median(flat(baseline=1.0, a=0.999, b=1.2), 20, 0.0) == pytest.approx(1 / 0.999)
    assert best_median(flat(baseline=1.0, a=1.001), 20, 0.0) is None


def test_only_the_first_calls_count() -> None:
    traces = {"baseline": np.ones(200), "a": np.concatenate([np.full(20, 0.5), np.full(180, 2.0)])}
    assert best_median(traces, 20, 0.0) == 2.0
    assert best_median(traces, 100, 0.0) is None


def test_with_a_threshold_a_little_is_not_enough() -> None:
    assert best_median(flat(baseline=1.0, a=0.985), 100, 0.02) is None
    assert best_median(flat(baseline=1.0, a=0.97), 100, 0.02) == pytest.approx(1 / 0.97)


def test_welch_tells_from_the_spread_whether_the_smallest_mean_is_faster() -> None:
    rng = np.random.default_rng(0)
    calls = rng.normal(1.0, 0.05, 400)
    assert best_by_welch({"baseline": calls, "a": calls, "b": 1.1 * calls}) is None
    assert best_by_welch({"baseline": calls, "a": 0.97 * calls}) == pytest.approx(1 / 0.97)


def test_every_rule_is_fooled_where_the_machine_wanders() -> None:
    rng = np.random.default_rng(0)
    runs = [one_after_another(rng, ["baseline", *COPIES]) for _ in range(40)]
    fooled = {name: sum(rule(traces) is not None for traces in runs) for name, rule in RULES.items()}
    assert min(fooled.values()) > 0.5 * len(runs), fooled
