"""The four factors in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.results import numbers as show
from pipeline.results.factors import Bought, Level
from pipeline.results.intervals import Ratio

_ACCURACY_UNKNOWN = "accuracy not known"
_UNDECIDED = "more examples would decide whether that keeps to the margin"


def summarise_factors(ranking: Sequence[Bought]) -> str:
    """The sentences that say which factor buys most, what the others buy, and what can be had at the price of
    accuracy."""
    if not any(bought.measured for bought in ranking):
        return "Nothing beside the base row was measured, so no factor can be judged."
    buying = [bought for bought in ranking if bought.level is not None]
    sentences = [_first(buying), _others(buying[1:]), _nothing(ranking), _priced(ranking)]
    return " ".join(sentence for sentence in sentences if sentence)


def _first(buying: Sequence[Bought]) -> str:
    if not buying:
        return "No factor buys speed for sure while the accuracy is kept."
    found = buying[0]
    return f"On this machine {found.factor} buys most: {_level(found.axis, found.level)}."


def _others(buying: Sequence[Bought]) -> str:
    if not buying:
        return ""
    return f"Then {'; '.join(f'{found.factor}: {_level(found.axis, found.level)}' for found in buying)}."


def _nothing(ranking: Sequence[Bought]) -> str:
    none = [found.factor for found in ranking if found.level is None and found.measured]
    unmeasured = [found.factor for found in ranking if not found.measured]
    parts = []
    if none and len(none) < len(ranking):
        parts.append(
            f"{_listed(none).capitalize()} alone {_verb(none, 'buys', 'buy')} nothing that keeps the accuracy."
        )
    if unmeasured:
        parts.append(f"Of {_listed(unmeasured)} no other level could be measured here.")
    return " ".join(parts)


def _priced(ranking: Sequence[Bought]) -> str:
    priced = [(found.priced_axis, found.priced) for found in ranking if found.priced is not None]
    priced.sort(key=lambda entry: -entry[1].gain.low if entry[1].gain else 0.0)
    entries = [f"{_level(axis, level)} ({_cost(level)})" for axis, level in priced]
    return f"At the price of accuracy: {'; '.join(entries)}." if entries else ""


def _level(axis: str | None, level: Level | None) -> str:
    """``static_int8 (precision), 1.64 times as fast [1.63, 1.67]``."""
    if level is None or level.gain is None:
        return "nothing"
    where = f" ({axis})" if axis and axis not in level.label and not level.label.endswith(axis) else ""
    per_example = " per example, though a call takes longer" if axis == "batch" else ""
    return f"{level.label}{where}, {_times(level.gain)}{per_example}"


def _cost(level: Level) -> str:
    accuracy = (
        _ACCURACY_UNKNOWN if level.accuracy is None else f"accuracy {show.figure(level.accuracy, level.accuracy_unit)}"
    )
    unsure = _UNDECIDED if level.accuracy_verdict == "UNDECIDED" else None
    return ", ".join(part for part in (accuracy, level.note, unsure) if part)


def _times(gain: Ratio) -> str:
    places = show.ratio_decimals(gain.value, gain.low, gain.high)
    return f"{show.number(gain.value, places)} times as fast {show.interval(gain.low, gain.high, places)}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _verb(subjects: Sequence[str], one: str, several: str) -> str:
    return one if len(subjects) == 1 else several
