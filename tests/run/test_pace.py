"""What the next candidates of a search are expected to take."""

from __future__ import annotations

import pytest

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.torch import Torch
from pipeline.plan import Target
from pipeline.run.pace import Pace
from pipeline.search.look import TOGETHER

PLAIN = Target(name="ort_cpu", backend=OnnxRuntime())
COMPILED = Target(name="torch_cpu_compile", backend=Torch(), session={"compile": True})


@pytest.mark.parametrize(
    ("left_s", "count"),
    [(1000.0, TOGETHER), (26.0, 2), (25.0, 2), (20.0, 1), (-5.0, 1)],  # each took 12.5 s
)
def test_as_many_are_looked_at_together_as_fit_in_the_time_that_is_left(left_s: float, count: int) -> None:
    assert Pace(timing_s=30.0, judging_s=20.0, looked=4, building_s=500.0).together(left_s) == count


def test_before_the_first_look_as_many_as_ever_are_looked_at_together() -> None:
    assert Pace().together(1.0) == TOGETHER


def test_a_look_takes_what_others_took_and_longer_where_loading_compiles() -> None:
    pace = Pace(timing_s=30.0, judging_s=20.0, looked=4)
    assert (pace.look_s(PLAIN), pace.look_s(COMPILED)) == (12.5, 30.0)
    assert Pace().look_s(PLAIN) == 0.0
