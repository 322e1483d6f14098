"""A figure is written in one way, in tables and in sentences."""

from __future__ import annotations

import math

import pytest

from pipeline.analyse import phrases
from pipeline.results import numbers
from pipeline.results.figures import Reference, Speedup


@pytest.mark.parametrize(
    ("low", "value", "high"), [(12.14, 12.34, 12.56), (1.402, 1.418, 1.441), (1.001, 1.004, 1.006), (0.04, 0.05, 0.06)]
)
def test_a_speed_up_has_the_same_digits_in_a_sentence_as_in_the_table(low: float, value: float, high: float) -> None:
    over = Reference(variant="baseline", target="ort_cpu", batch_size=1)
    speedup = Speedup(reference=over, value=value, low=low, high=high, p=0.01, verdict="FASTER", blocks=99)
    table = numbers.ratio(value, low, high)
    said = phrases.short(speedup)
    assert said == table.replace("x [", " times, ").replace(", ", " to ").replace("times to", "times,").rstrip("]")


def test_shares_and_points() -> None:
    assert numbers.share(0.863) == "86 %"
    assert numbers.size(0.0042, "percent") == "0.42 points"
    assert numbers.of_largest(0.00123) == "0.12 %"
    assert numbers.of_largest(math.inf) == "more than all"


def test_an_error_keeps_four_digits_and_a_loss_of_it_is_a_rise() -> None:
    assert [numbers.figure(value, "error") for value in (12345.6, 16.2, 0.0001236)] == ["12,346", "16.20", "0.0001236"]
    assert (numbers.change(-0.05, "error"), numbers.change(0.05, "error")) == ("+0.05000", f"{numbers.MINUS}0.05000")
    assert numbers.change_interval(-0.2, 0.1, "error") == f"[{numbers.MINUS}0.1000, +0.2000]"
    assert (numbers.loss_word("error"), numbers.gain_word("error")) == ("rise", "fall")
    assert (numbers.loss_word("percent"), numbers.gain_word("number")) == ("drop", "gain")
