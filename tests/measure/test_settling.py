"""Whether a model's later calls take what its first ones take."""

from __future__ import annotations

from pipeline.measure.settling import settled


def test_calls_that_become_faster_for_good_are_steady_from_then_on() -> None:
    found = settled([1_180_000] * 1000 + [30_000] * 400)
    assert found == {"calls": 1400, "first_ms": 1.18, "last_ms": 0.03, "steady_after": 1000}


def test_steady_calls_with_late_ones_among_them_are_steady_from_the_first() -> None:
    found = settled([1_000_000, 5_000_000, 1_000_000, 1_000_000] * 50)
    assert found is not None
    assert found["steady_after"] == 0


def test_too_few_calls_tell_nothing() -> None:
    assert settled([10**6] * 39) is None


def test_a_pause_among_steady_calls_does_not_make_them_unsteady() -> None:
    found = settled([1_180_000] * 1000 + [30_000] * 800 + [400_000] * 20 + [30_000] * 800)
    assert found is not None
    assert found["steady_after"] == 1000
