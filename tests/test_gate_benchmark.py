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
