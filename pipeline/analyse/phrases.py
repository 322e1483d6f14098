"""How figures are put into the report's sentences."""

from __future__ import annotations

from pipeline.intervals import Unit
from pipeline.results import Accuracy, Reference, Speedup

_ACCURACY_WORDS = {
    "EQUAL": "the baseline's own outputs",
    "IMPROVED": "a gain of {}",
    "NO MEANINGFUL DROP": "no meaningful drop of {}",
    "SMALL REAL DROP": "a small real drop of {}, within the margin",
}


def percent(fraction: float) -> str:
    """0.9385 gives ``93.85 %``."""
    return f"{100 * fraction:.2f} %"


def figure(value: float, unit: Unit) -> str:
    """A metric's figure: ``93.85 %`` or ``0.9385``."""
    return percent(value) if unit == "percent" else f"{value:.4f}"


def size(difference: float, unit: Unit) -> str:
    """The size of a difference of a metric's figures: ``0.42 points`` or ``0.0042``."""
    return f"{100 * difference:.2f} points" if unit == "percent" else f"{difference:.4f}"


def times(speedup: Speedup) -> str:
    """``1.42 times as fast as the baseline on ort_cpu``."""
    return f"{_ratio(speedup, speedup.value)} times as fast as {reference(speedup.reference)}"


def short(speedup: Speedup) -> str:
    """``1.42 times, 1.40 to 1.44``."""
    value, low, high = (_ratio(speedup, number) for number in (speedup.value, speedup.low, speedup.high))
    return f"{value} times, {low} to {high}"


def interval(speedup: Speedup) -> str:
    """``95 % interval 1.40 to 1.44``, and that it is not confirmed where it isn't."""
    ends = f"95 % interval {_ratio(speedup, speedup.low)} to {_ratio(speedup, speedup.high)}"
    if not speedup.verdict.endswith("not confirmed") or speedup.rounds is None:
        return ends
    return f"{ends}, not confirmed: {speedup.rounds} round{'' if speedup.rounds == 1 else 's'}"


def reference(row: Reference) -> str:
    """``the baseline on ort_cpu``."""
    name = "the baseline" if row.variant == "baseline" else row.variant
    return f"{name} on {row.target}"


def accuracy(found: Accuracy) -> str:
    """``no meaningful drop of accuracy (93.85 % to 93.80 %)``; only for a variant that kept the margin."""
    now = figure(found.value, found.unit)
    if found.sentence is not None:
        return found.sentence.format(now)
    if found.verdict is None or found.delta is None:
        return f"{found.metric} of {now}"
    words = _ACCURACY_WORDS.get(found.verdict, f"{{}} {found.verdict}").format(found.metric)
    return f"{words} ({figure(found.value - found.delta, found.unit)} to {now})"


def _ratio(speedup: Speedup, value: float) -> str:
    """Two decimals, or three where two would hide the interval's length, or that it excludes 1."""
    low, high = round(speedup.low, 2), round(speedup.high, 2)
    hides = low == high or (speedup.low > 1 and low == 1) or (speedup.high < 1 and high == 1)
    return f"{value:.3f}" if hides else f"{value:.2f}"
