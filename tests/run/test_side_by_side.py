"""How many models run side by side where nothing is timed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.plan import Target
from pipeline.run import side_by_side
from pipeline.run.side_by_side import at_once

CPU = Target(name="ort_cpu", backend=OnnxRuntime())
CARD = Target(name="ort_cuda", backend=OnnxRuntime(), device="cuda")


@pytest.mark.parametrize(
    ("targets", "held", "count"),
    [
        ([], 9, 1),
        ([CPU], 1, 1),
        ([CPU] * 9, 1, 4),  # a card's memory is none of their business
        ([CPU, CARD], 1, 1),
        ([CARD] * 3, 2, 2),
        ([CARD] * 9, 9, 4),
        ([CARD], 0, 1),
    ],
)
def test_as_many_run_as_cores_and_a_card_hold(
    monkeypatch: pytest.MonkeyPatch, targets: Sequence[Target], held: int, count: int
) -> None:
    monkeypatch.setattr(side_by_side, "available_cores", lambda: 4)
    assert at_once(targets, lambda: held) == count


def test_a_card_that_is_not_asked_holds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "available_cores", lambda: 4)
    assert at_once([CARD] * 3) == 1
