"""Writes figures: one way for each kind, the same in every table and in every sentence."""

from __future__ import annotations

import math

from pipeline.results.intervals import Unit, gain_sign

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
INFINITE = "inf"
_MOST_DECIMALS = 12


def decimals_for(value: float) -> int:
    """Decimals that leave four digits, so that a change of half a per cent is visible."""
    magnitude = abs(value)
    if magnitude >= 1000:
        return 0
    if magnitude >= 100:
        return 1
    if magnitude >= 10:
        return 2
    return 3 if magnitude >= 0.1 else 4


def number(value: float, decimals: int | None = None) -> str:
    """A figure with thousands separators and a real minus sign: 1,234, 12.34, 0.4123."""
    places = decimals_for(value) if decimals is None else decimals
    return f"{value:,.{places}f}".replace("-", MINUS)


def count(value: float) -> str:
    """A whole number: 12,345."""
    return number(value, 0)


def counted(number: int, word: str) -> str:
    """A number of things: 1 thread, 2 threads."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def interval(low: float, high: float, decimals: int) -> str:
    """An interval in words: ``[low, high]``."""
    return f"[{number(low, decimals)}, {number(high, decimals)}]"


def short(value: float) -> str:
    """Three digits: 0.78, 12.3, 182, 1,234."""
    magnitude = abs(value)
    if magnitude >= 100:
        return number(value, 0)
    return number(value, 1 if magnitude >= 10 else 2)


def megabytes(size_bytes: float) -> str:
    """Bytes as MB (a million bytes), without the unit."""
    return short(size_bytes / 1e6)


def percent(fraction: float) -> str:
    """A fraction as per cent: 0.9385 gives ``93.85 %``."""
    return f"{number(100 * fraction, 2)} %"


def share(fraction: float) -> str:
    """A rough share in words: 0.863 gives ``86 %``."""
    return f"{number(100 * fraction, 0)} %"


def of_largest(fraction: float) -> str:
    """A difference as a share of the largest value: ``0.12 %``; ``more than all`` where it is infinite."""
    return f"{100 * fraction:.2g} %" if math.isfinite(fraction) else "more than all"


def figure(value: float, unit: Unit) -> str:
    """A metric's figure in its unit: ``93.85 %`` or ``0.9385``."""
    return percent(value) if unit == "percent" else number(value, _places(unit, value))


def figure_interval(low: float, high: float, unit: Unit) -> str:
    """The interval of a metric's figure, without the unit."""
    return percent_interval(low, high) if unit == "percent" else interval(low, high, _places(unit, low, high))


def change(gain: float, unit: Unit) -> str:
    """The change of a metric's figure: ``−0.12 pt`` or ``−0.0012``. Where less is better, a loss has a plus."""
    return points(gain) if unit == "percent" else signed(gain_sign(unit) * gain, _places(unit, gain))


def size(value: float, unit: Unit) -> str:
    """The size of a difference in words: ``0.94 points`` or ``0.0094``."""
    return f"{number(100 * value, 2)} points" if unit == "percent" else number(value, _places(unit, value))


def change_interval(low: float, high: float, unit: Unit) -> str:
    """The interval of such a change, without the unit."""
    if unit == "percent":
        return points_interval(low, high)
    ends = sorted(gain_sign(unit) * end for end in (low, high))
    first, last = (signed(end, _places(unit, low, high)) for end in ends)
    return f"[{first}, {last}]"


def loss_word(unit: Unit) -> str:
    """The word for a change to the worse: ``drop``, or ``rise`` where less is better."""
    return "rise" if gain_sign(unit) < 0 else "drop"


def gain_word(unit: Unit) -> str:
    """The word for a change to the better: ``gain``, or ``fall`` where less is better."""
    return "fall" if gain_sign(unit) < 0 else "gain"


def _places(unit: Unit, *values: float) -> int:
    """The decimals of a figure: four of one that 1 bounds, and as many as leave four digits of an error."""
    largest = max(map(abs, values))
    if unit != "error" or not largest:
        return 4
    return min(max(0, 3 - math.floor(math.log10(largest))), _MOST_DECIMALS)


def percent_interval(low: float, high: float) -> str:
    """Two fractions as an interval in per cent, without the unit."""
    return interval(100 * low, 100 * high, 2)


def signed(value: float, decimals: int = 2) -> str:
    """A figure with its sign: +0.05, −0.12, 0.00."""
    if value == 0:
        return number(0.0, decimals)
    return number(value, decimals) if value < 0 else f"+{number(value, decimals)}"


def points(fraction: float) -> str:
    """A difference of fractions in percentage points: −0.0012 gives ``−0.12 pt``."""
    return f"{signed(100 * fraction)} pt"


def points_interval(low: float, high: float) -> str:
    """Two differences of fractions as an interval in points, without the unit."""
    return f"[{signed(100 * low)}, {signed(100 * high)}]"


def ratio(value: float, low: float, high: float | None) -> str:
    """A speed-up with its interval: ``1.42x [1.40, 1.44]``; None is an interval without an upper end."""
    if high is None:
        places = ratio_decimals(value, low, math.inf)
        return f"{number(value, places)}x [{number(low, places)}, {INFINITE}]"
    places = ratio_decimals(value, low, high)
    return f"{number(value, places)}x {interval(low, high, places)}"


def ratio_decimals(value: float, low: float, high: float) -> int:
    """How many decimals a ratio has: two as a rule, and three where two would hide the interval's length, or that it
    excludes 1."""
    if value >= 10:
        return 1
    hides = (low > 1 and round(low, 2) == 1) or (high < 1 and round(high, 2) == 1) or round(low, 2) == round(high, 2)
    return 3 if hides or value < 0.1 else 2


def evidence(rounds: int, p: float) -> str:
    """The evidence that is too little to confirm a verdict: ``2 rounds, p = 0.12``."""
    return f"{rounds} round{'' if rounds == 1 else 's'}, p = {number(p, 2)}"


def magnitude(value: float) -> str:
    """A large count in short: 78.0 k, 12.3 M, 1.20 G, 3.40 T."""
    for factor, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{short(value / factor)} {letter}"
    return count(value)


def duration(seconds: float) -> str:
    """Seconds in short: 0.42 s, 12.3 s, 3 min 20 s."""
    if seconds < 60:
        return f"{short(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
