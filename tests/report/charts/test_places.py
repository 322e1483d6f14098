"""Places for names: none lies over another, over a point, or beyond the chart."""

from __future__ import annotations

from itertools import combinations

from pipeline.report.charts.places import Place, Point, places

WIDTH, HEIGHT = 400.0, 300.0


def box(point: Point, place: Place) -> tuple[float, float, float, float]:
    wide = 6 * len(point.name)
    left = point.x + place.dx - (wide if place.align == "right" else 0)
    return left, point.y + place.dy - 9, left + wide, point.y + place.dy + 2


def test_names_of_points_that_lie_close_together_do_not_meet() -> None:
    points = [Point(x=200 + 3 * number, y=150 + 2 * number, name=f"variant_{number}") for number in range(6)]
    found = [box(point, place) for point, place in zip(points, places(points, WIDTH, HEIGHT), strict=True) if place]
    assert len(found) >= 4
    for one, other in combinations(found, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_a_name_at_the_right_edge_stands_left_of_its_point() -> None:
    [place] = places([Point(x=395, y=150, name="dynamic_int8")], WIDTH, HEIGHT)
    assert place is not None
    assert place.align == "right"


def test_a_name_without_room_is_left_out() -> None:
    assert places([Point(x=20, y=10, name="a name that is wider than the chart")], 40, 20) == [None]
