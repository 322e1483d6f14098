"""The rows that no other row beats for sure on accuracy and speed together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.plan import BASELINE
from pipeline.results.figures import Accuracy
from pipeline.results.intervals import Ratio, gain_sign
from pipeline.results.report import Result

Rows = Mapping[str, Sequence[Result]]
"""The rows of each variant, by its name."""
_NO_CHANGE = Ratio(value=0.0, low=0.0, high=0.0)
_OWN_SPEED = Ratio(value=1.0, low=1.0, high=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A row's place, larger is better: its change of accuracy, and its speed against the reference."""

    accuracy: Ratio
    speed: Ratio

    def beats(self, other: _Point) -> bool:
        """Whether it is better for sure on one of the two, and no worse on the other as far as the estimates tell."""
        faster = self.speed.low > other.speed.high and self.accuracy.value >= other.accuracy.value
        righter = self.accuracy.low > other.accuracy.high and self.speed.value >= other.speed.value
        return faster or righter


def with_pareto(rows: Rows, *, searched: bool = False) -> dict[str, list[Result]]:
    """Mark the front within each target and batch size: the rows that no other row there beats for sure.

    The rows that a search confirmed have one reference, whatever their target, so a batch size has one front.

    A difference that the intervals leave open takes no row off the front. A baseline that the others are held against
    counts as 100 % accurate.
    """
    beside_baseline = _beside_baseline(rows)
    points = {
        (variant, index): point
        for variant, results in rows.items()
        for index, result in enumerate(results)
        if (point := _point(variant, result, beside_baseline)) is not None
    }
    marked = {variant: list(results) for variant, results in rows.items()}
    for (variant, index), point in points.items():
        result = rows[variant][index]
        rivals = [
            rival
            for (other, number), rival in points.items()
            if _place(rows[other][number], searched) == _place(result, searched)
        ]
        if not any(rival.beats(point) for rival in rivals):
            marked[variant][index] = replace(result, pareto=True)
    return marked


def _place(result: Result, searched: bool) -> tuple[str, int]:
    """The rows of one place have one front."""
    return "" if searched else result.target, result.batch_size


def _beside_baseline(rows: Rows) -> bool:
    """Whether the baseline's own predictions are what is right."""
    accuracies = (row.accuracy for results in rows.values() for row in results)
    return any(found is not None and found.against == "baseline" for found in accuracies)


def _point(variant: str, result: Result, beside_baseline: bool) -> _Point | None:
    if result.status != "ok" or result.latency_ms is None:
        return None
    if result.accuracy is not None:
        return _Point(accuracy=_accuracy(result.accuracy, variant), speed=_speed(result))
    if variant == BASELINE and beside_baseline:
        return _Point(accuracy=_NO_CHANGE, speed=_speed(result))
    return None


def _accuracy(found: Accuracy, variant: str) -> Ratio:
    """The change since the baseline, which is known better than the accuracy itself; that where no change is known."""
    if found.verdict == "EQUAL" or (variant == BASELINE and found.delta is None):
        return _NO_CHANGE
    if found.delta is None or found.delta_low is None or found.delta_high is None:
        ends = sorted(gain_sign(found.unit) * end for end in (found.low, found.high))
        return Ratio(value=found.merit, low=ends[0], high=ends[1])
    return Ratio(value=found.delta, low=found.delta_low, high=found.delta_high)


def _speed(result: Result) -> Ratio:
    """The speed over the reference, which all rows of a front share."""
    found = result.speedup
    return _OWN_SPEED if found is None else Ratio(value=found.value, low=found.low, high=found.high)
