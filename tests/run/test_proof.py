"""How a search shares its budget."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.plan import SearchSettings
from pipeline.run.proof import Clock
from tests.example import plan


@pytest.mark.parametrize(
    ("call_ms", "tested", "kept_s"),
    [
        (None, 300, 300.0),  # nothing was timed yet: half
        (1.0, 1000, 114.0),  # the rounds have at least 15 % of the budget, and the rest comes on top
        (370.0, 50, 300.0),  # slow rounds: at most half
        (370.0, 300, 334.0),  # ViT-Base: the test split alone takes 234 s, and the rounds have 15 % of the budget
        (370.0, 9000, 480.0),  # never so much that nothing can be looked at
    ],
)
def test_the_time_that_is_kept_for_the_proof(tmp_path: Path, call_ms: float | None, tested: int, kept_s: float) -> None:
    chosen = plan(tmp_path, {"baseline": {}}, search=SearchSettings(budget_s=600.0, finalists=3))
    chosen = replace(chosen, measure=replace(chosen.measure, looks=(7, 10), blocks=32))
    clock = Clock(plan=chosen, began=time.monotonic(), tested=tested, call_ms=call_ms)
    assert clock.proof_s() == pytest.approx(kept_s, abs=1.0)
    assert clock.left_s() == pytest.approx(600.0 - clock.proof_s(), abs=1.0)
