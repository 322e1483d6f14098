"""The phrases that put figures into the report's sentences."""

from __future__ import annotations

from pipeline.plan import BASELINE
from pipeline.results import numbers as show
from pipeline.results.figures import Accuracy, Reference, Speedup
from pipeline.results.header import Header
from pipeline.results.report import Result

_ACCURACY_WORDS = {
    "EQUAL": "the baseline's own outputs",
    "IMPROVED": "a {gain} of {metric}",
    "NO MEANINGFUL DROP": "no meaningful {loss} of {metric}",
    "SMALL REAL DROP": "a small real {loss} of {metric}, within the margin",
}


def times(speedup: Speedup) -> str:
    """A speed-up with its reference: ``1.42 times as fast as the baseline on ort_cpu``."""
    return f"{_ratio(speedup, speedup.value)} times as fast as {reference(speedup.reference)}"


def outcome(variant: str, result: Result, run: Header) -> str:
    """What a row with a speed-up comes to: how fast it is, and its accuracy. Where a search chose among runtimes the
    row's is named, and nothing is said of accuracy on noise."""
    searched = run.search is not None
    name = f"{variant} on {result.target}" if searched else variant
    found, speedup = result.accuracy, result.speedup
    words = name if speedup is None else f"{name} is {times(speedup)} ({interval(speedup)})"
    if found is None or (searched and not run.claims_accuracy):
        return words
    compared = variant != BASELINE or (searched and found.delta is not None)
    return f"{words} with {accuracy(found)}" if compared else words


def short(speedup: Speedup) -> str:
    """A speed-up with its interval: ``1.42 times, 1.40 to 1.44``."""
    value, low, high = (_ratio(speedup, number) for number in (speedup.value, speedup.low, speedup.high))
    return f"{value} times, {low} to {high}"


def interval(speedup: Speedup) -> str:
    """A speed-up's interval: ``95 % interval 1.40 to 1.44``, with a word where it is not confirmed."""
    ends = f"95 % interval {_ratio(speedup, speedup.low)} to {_ratio(speedup, speedup.high)}"
    if not speedup.verdict.endswith("not confirmed") or speedup.rounds is None:
        return ends
    return f"{ends}, not confirmed: {speedup.rounds} round{'' if speedup.rounds == 1 else 's'}"


def reference(row: Reference) -> str:
    """A row's name where others are compared with it: ``the baseline on ort_cpu``."""
    name = "the baseline" if row.variant == "baseline" else row.variant
    return f"{name} on {row.target}"


def accuracy(found: Accuracy) -> str:
    """What the accuracy came to: ``no meaningful drop of accuracy (93.85 % to 93.80 %)``; only for a variant that kept
    the margin."""
    now = show.figure(found.value, found.unit)
    if found.sentence is not None:
        return found.sentence.format(now)
    if found.verdict is None or found.before is None:
        return f"{found.metric} of {now}"
    words = _ACCURACY_WORDS.get(found.verdict, f"{{metric}} {found.verdict}")
    told = words.format(metric=found.metric, loss=show.loss_word(found.unit), gain=show.gain_word(found.unit))
    return f"{told} ({show.figure(found.before, found.unit)} to {now})"


def _ratio(speedup: Speedup, value: float) -> str:
    return show.number(value, show.ratio_decimals(speedup.value, speedup.low, speedup.high))
