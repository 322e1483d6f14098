"""benchmarks/gate.py: what it plants is what the gate is asked to find."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.analyse.synthetic import ROUNDS, Made
from tests.compare.runs import a_run

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gate.py"


@pytest.fixture(scope="module")
def gate() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_planted_changes_are_regressions_and_nothing_planted_is_none(gate: dict[str, Any]) -> None:
    variant = Made(name="static_int8", times_as_fast=2.0)
    found = gate["outcomes"]((a_run(variant), a_run(variant, seed=2)))
    assert found == {"nothing": "KEPT", "5 % slower": "REGRESSION", "2 points lost": "REGRESSION"}


def test_the_halves_of_a_run_share_no_round(gate: dict[str, Any]) -> None:
    run = a_run(Made(name="static_int8", times_as_fast=2.0))
    [(first, second)] = gate["cut_pairs"](run, 1)
    rounds = [set(np.unique(half.record.latency.round).tolist()) for half in (first, second)]
    assert not rounds[0] & rounds[1]
    assert len(rounds[0]) == len(rounds[1]) == ROUNDS // 2


def test_drawn_ratios_without_a_change_are_no_regressions(gate: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    assert [gate["drawn_outcome"](rng, 0.003, 0.001, 0.0) for _ in range(20)].count("REGRESSION") == 0
    assert [gate["drawn_outcome"](rng, 0.003, 0.001, 0.08) for _ in range(20)].count("REGRESSION") == 20


@pytest.mark.parametrize("same", [True, False])
def test_points_that_are_lost_are_found_on_drawn_examples(gate: dict[str, Any], same: bool) -> None:
    run, rng = a_run(Made(name="static_int8", times_as_fast=2.0)), np.random.default_rng(0)
    nothing, lost = gate["Spoilt"](0.0, 0.0), gate["Spoilt"](0.02, 0.0)
    assert "REGRESSION" not in [gate["drawn_accuracy"](run, nothing, rng, same=same) for _ in range(5)]
    assert [gate["drawn_accuracy"](run, lost, rng, same=same) for _ in range(5)].count("REGRESSION") >= 4


def test_as_many_answers_change_as_are_planted(gate: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=100_000)
    predictions = np.where(rng.random(len(labels)) < 0.9, labels, (labels + 1) % 10)
    later = gate["Spoilt"](0.03, 0.01).of(labels, predictions, rng)
    before, after = predictions == labels, later == labels
    assert np.mean(before & ~after) == pytest.approx(0.03, abs=0.003)
    assert np.mean(~before & after) == pytest.approx(0.01, abs=0.002)
