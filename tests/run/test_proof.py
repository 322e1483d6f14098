"""How a search shares its budget."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.dataset import Split
from pipeline.plan import SearchSettings
from pipeline.run.proof import Clock, examples_of_proof
from tests.example import plan


@pytest.mark.parametrize(
    ("call_ms", "tested", "kept_s"),
    [
        (None, 300, 300.0),  # nothing was timed yet: half
        (1.0, 1000, 124.0),  # the rounds have at least 15 % of the budget, and the rest comes on top
        (370.0, 50, 264.0),  # ViT-Base: a round of ten blocks takes 24 s
        (370.0, 300, 319.0),  # no more than 182 examples are judged: 180 s, and the rounds have 15 % of the budget
        (370.0, 9000, 319.0),
        (2000.0, 9000, 395.0),  # the fewest examples take 176 s
        (20000.0, 9000, 480.0),  # never so much that nothing can be looked at
    ],
)
def test_the_time_that_is_kept_for_the_proof(tmp_path: Path, call_ms: float | None, tested: int, kept_s: float) -> None:
    chosen = plan(tmp_path, {"baseline": {}}, search=SearchSettings(budget_s=600.0, finalists=3))
    chosen = replace(chosen, measure=replace(chosen.measure, looks=(7, 10), blocks=32))
    clock = Clock(plan=chosen, began=time.monotonic(), tested=tested, call_ms=call_ms)
    assert clock.proof_s() == pytest.approx(kept_s, abs=1.0)
    assert clock.left_s() == pytest.approx(600.0 - clock.proof_s(), abs=1.0)


def test_finalists_that_are_known_are_counted_with_their_own_calls(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}}, search=SearchSettings(budget_s=600.0, finalists=3))
    clock = Clock(plan=chosen, began=time.monotonic(), tested=300, call_ms=370.0)
    four_s = clock.proof_s()
    row_s = 12 * 0.37 + clock.judged * 0.37 / 1.5  # twelve calls alone, and the test split
    clock.speeds = (2.0, 2.0)
    assert clock.proof_s() == pytest.approx(four_s - row_s, abs=0.1), "two rows take half as long, one is not known"
    clock.speeds = (2.0, 2.0, 2.0)
    assert clock.proof_s() == pytest.approx(four_s - 1.5 * row_s, abs=0.1)
    beside_s = 600.0 - clock.measuring_s()
    clock.speeds = (2.0,)
    assert clock.measuring_s() == pytest.approx(600.0 - beside_s + row_s + 2 * 3.0, abs=0.1), "two rows fewer"


def test_a_part_of_the_test_split_is_judged_where_all_of_it_would_take_too_long(tmp_path: Path) -> None:
    chosen = plan(tmp_path, {"baseline": {}}, search=SearchSettings(budget_s=600.0, finalists=3))
    test = Split(inputs={"x": np.arange(1000.0)[:, None]}, labels=np.repeat([0, 1], 500))
    clock = Clock(plan=chosen, began=time.monotonic(), tested=len(test), call_ms=10.0)
    assert examples_of_proof(chosen, test, clock) == (test, None)
    clock.call_ms = 500.0
    judged, note = examples_of_proof(chosen, test, clock)
    assert len(judged) == clock.judged == 135, "180 s for four rows, two of them side by side"
    assert judged.labels is not None
    assert 45 < int(judged.labels.sum()) < 90, "the data has one class behind the other"
    assert np.array_equal(judged.labels, (np.asarray(judged.inputs["x"])[:, 0] >= 500).astype(int))
    assert note is not None
    assert note.startswith("the proof judges 135 of 1000 test examples")
    assert examples_of_proof(chosen, test, clock)[0].example_hashes() == judged.example_hashes()
    clock.divisible = False
    assert examples_of_proof(chosen, test, clock) == (test, None)


@pytest.mark.parametrize(("call_ms", "more_s"), [(1.0, 6.15), (100.0, 21.0), (370.0, 30.0)])
def test_the_maps_have_their_time_too(tmp_path: Path, call_ms: float, more_s: float) -> None:
    chosen = plan(tmp_path, {"baseline": {}}, search=SearchSettings(budget_s=600.0, finalists=3))
    mapped = replace(chosen, measure=replace(chosen.measure, explain="not_faster", map=True))
    kept_s = [Clock(plan=one, began=0.0, tested=50, call_ms=call_ms).proof_s() for one in (chosen, mapped)]
    assert kept_s[1] - kept_s[0] == pytest.approx(more_s, abs=0.1)
