"""Finds places for the names of a chart's points, so that no name lies over another or over a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.report.charts.drawing import SMALL_PX, Align

_CHARACTER_PX = 0.56 * SMALL_PX
_POINT_PX = 6
_ASIDE_PX, _GAP_PX = 4, 9
"""How far a name stands beside its point, and above or below it: intervals cross the point, and run between."""
_RINGS = (0, 1, 2)
"""How many lines of text a name may stand away from its point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point in pixels, from the upper left corner, and its name."""

    x: float
    y: float
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a name stands: its distance from its point in pixels, and which of its ends is there."""

    dx: float
    dy: float
    align: Align


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


def places(points: Sequence[Point], width: float, height: float) -> list[Place | None]:
    """A place for each name, the first points first; None where every place is taken."""
    taken = [_Box(p.x - _POINT_PX, p.y - _POINT_PX, p.x + _POINT_PX, p.y + _POINT_PX) for p in points]
    found: list[Place | None] = []
    for point in points:
        fitting = (
            (place, box)
            for place in _candidates()
            if _inside(box := _box(point, place), width, height) and not any(map(box.meets, taken))
        )
        free = next(fitting, None)
        found.append(None if free is None else free[0])
        if free is not None:
            taken.append(free[1])
    return found


def _candidates() -> Iterator[Place]:
    for ring in _RINGS:
        rise = ring * (SMALL_PX + 2)
        above, below = -_GAP_PX - rise, _GAP_PX + SMALL_PX - 2 + rise
        yield Place(dx=_ASIDE_PX, dy=above, align="left")
        yield Place(dx=_ASIDE_PX, dy=below, align="left")
        yield Place(dx=-_ASIDE_PX, dy=above, align="right")
        yield Place(dx=-_ASIDE_PX, dy=below, align="right")


def _box(point: Point, place: Place) -> _Box:
    wide = len(point.name) * _CHARACTER_PX
    left = point.x + place.dx - (wide if place.align == "right" else 0.0)
    bottom = point.y + place.dy + 2
    return _Box(left, bottom - SMALL_PX, left + wide, bottom)


def _inside(box: _Box, width: float, height: float) -> bool:
    return box.left >= 0 and box.right <= width and box.top >= 0 and box.bottom <= height
