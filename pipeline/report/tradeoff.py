"""Accuracy against latency: the points of a group's rows, and the part of the plane that shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline.report.fields import ACCURACY, header
from pipeline.report.rows import Group, Row, unit_of
from pipeline.results import numbers as show
from pipeline.results.intervals import gain_sign, written_scale

Kind = Literal["on the Pareto front", "not on the front", "beyond the edge"]
_SLOWEST, _FASTEST = 8.0, 1 / 30
"""A row that takes more of the reference's time than this, or less, stands at the edge."""
_FARTHEST = 6.0
"""A row that loses more margins than this stands at the edge."""
_STEPS = (1, 2, 3, 5, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPoint:
    """A row in the plane; a percentage is a number up to 100."""

    name: str
    words: str
    recommended: bool
    kind: Kind
    p50: float
    """Milliseconds a call."""
    low: float
    high: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float

    @property
    def figures(self) -> str:
        """The words, short enough to stand beside the point."""
        return self.words.replace(" a call", "")


@dataclass(frozen=True, slots=True)
class Frame:
    """The ends of both axes; ``bottom`` is the worse end."""

    left: float
    right: float
    bottom: float
    top: float

    def across(self, value: float) -> float:
        """Where a latency lies between left (0) and right (1), on a logarithmic scale."""
        return math.log(value / self.left) / math.log(self.right / self.left)

    def down(self, value: float) -> float:
        """Where an accuracy lies between top (0) and bottom (1)."""
        return (self.top - value) / (self.top - self.bottom)

    @property
    def ticks(self) -> list[float]:
        """Round latencies between the ends."""
        first = math.floor(math.log10(self.left))
        powers = range(first, math.ceil(math.log10(self.right)) + 1)
        every = [float(f"{step}e{power}") for power in powers for step in _STEPS]
        return [tick for tick in every if self.left <= tick <= self.right]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradeoff:
    """A group's rows that have both an accuracy and a latency. One beyond an edge stands on it, without intervals."""

    metric: str
    title: str
    """The metric's name with its unit."""
    points: list[RowPoint]
    limit: float | None
    """The figure of a row that loses just the margin; None where no row is compared."""
    frame: Frame

    @property
    def words(self) -> str:
        """All points, for who can't see them."""
        told = "; ".join(f"{point.words}, {point.kind}" for point in self.points)
        return f"{self.metric} against latency: {told}"


def tradeoff_of(group: Group) -> Tradeoff | None:
    """The points of a group; None where no row has both figures."""
    points = [point for row in group.rows if (point := _point(row)) is not None]
    if not points:
        return None
    unit = unit_of(*(row.variant for row in group.rows))
    metric = header(ACCURACY, group.rows)
    limit = _limit(group.rows)
    frame = _frame(points, limit, gain_sign(unit))
    return Tradeoff(
        metric=metric,
        title=f"{metric} (%)" if unit == "percent" else metric,
        points=[_inside(point, frame) for point in points],
        limit=limit,
        frame=frame,
    )


def _point(row: Row) -> RowPoint | None:
    result = row.result
    if result is None or result.latency_ms is None or result.accuracy is None or not result.latency_ms.p50.value:
        return None
    p50, accuracy = result.latency_ms.p50, result.accuracy
    scale = written_scale(accuracy.unit)
    return RowPoint(
        name=row.name,
        words=f"{row.name}: {show.figure(accuracy.value, accuracy.unit)} at {show.number(p50.value)} ms a call",
        recommended=row.recommended,
        kind="on the Pareto front" if result.pareto else "not on the front",
        p50=p50.value,
        low=p50.value if p50.low is None else p50.low,
        high=p50.value if p50.high is None else p50.high,
        accuracy=scale * accuracy.value,
        accuracy_low=scale * accuracy.low,
        accuracy_high=scale * accuracy.high,
    )


def _limit(rows: Sequence[Row]) -> float | None:
    for row in rows:
        found = None if row.result is None else row.result.accuracy
        if found is not None and found.margin is not None and found.before is not None:
            scale = written_scale(found.unit)
            return scale * (found.before - gain_sign(found.unit) * found.margin)
    return None


def _frame(points: Sequence[RowPoint], limit: float | None, sign: int) -> Frame:
    """Both axes over all rows but those that would press the others together; what is better is above."""
    middle = sorted(point.p50 for point in points)[len(points) // 2]
    times = [point.p50 for point in points if _FASTEST * middle <= point.p50 <= _SLOWEST * middle]
    best = max(sign * point.accuracy for point in points)
    floor = -math.inf if limit is None else best - _FARTHEST * max(best - sign * limit, 1e-9)
    ends = [
        (sign * point.accuracy_low, sign * point.accuracy_high) for point in points if sign * point.accuracy >= floor
    ]
    low, high = min(map(min, ends)), max(map(max, ends))
    low = low if limit is None else min(low, sign * limit)
    room = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    spread = max(max(times) / min(times), 1.5) ** 0.14
    return Frame(min(times) / spread, max(times) * spread, sign * (low - room), sign * (high + room))


def _inside(point: RowPoint, frame: Frame) -> RowPoint:
    """The point, or the one on the edge beyond which it lies."""
    low, high = sorted((frame.bottom, frame.top))
    p50 = min(max(point.p50, frame.left), frame.right)
    accuracy = min(max(point.accuracy, low), high)
    if (p50, accuracy) != (point.p50, point.accuracy):
        return replace(
            point,
            kind="beyond the edge",
            p50=p50,
            low=p50,
            high=p50,
            accuracy=accuracy,
            accuracy_low=accuracy,
            accuracy_high=accuracy,
        )
    return replace(
        point,
        low=max(point.low, frame.left),
        high=min(point.high, frame.right),
        accuracy_low=max(point.accuracy_low, low),
        accuracy_high=min(point.accuracy_high, high),
    )
