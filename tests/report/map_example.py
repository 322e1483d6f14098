"""Maps such as a real run gives."""

from __future__ import annotations

from dataclasses import replace

from pipeline.results.map import MapNode, MapPlace, Range, VariantMap
from pipeline.results.report import Report
from tests.report import example


def place(number: int, block: str, *, own_db: float | None = 35.0, saved_ms: float = 0.1) -> MapPlace:
    """A convolution that reads the place before it, and the one before that."""
    return MapPlace(
        tensor=f"t{number}",
        block=block,
        reads=[source for source in (number - 3, number - 1) if source >= 0],
        before=[MapNode(name=f"node_{number}", op="Conv", makes=f"t{number}")],
        after=[MapNode(name=f"node_{number}", op="Conv", makes=f"t{number}", stage="quantize")],
        sqnr_db=None if own_db is None else own_db - 2,
        own_sqnr_db=own_db,
        before_range=Range(low=-1.5, high=2.25),
        after_range=Range(low=-1.5, high=2.2),
        before_ms=0.3,
        after_ms=0.3 - saved_ms,
        kernels=["QLinearConv"],
        causes=[0] if saved_ms < 0 else [],
    )


def variant_map(name: str, count: int = 12, blocks: int = 4) -> VariantMap:
    """A map whose place 5 makes the largest error, and whose place 7 loses time."""
    places = [
        place(
            number,
            f"layer{number * blocks // count}",
            own_db=12.5 if number == 5 else 35.0,
            saved_ms=-0.2 if number == 7 else 0.1,
        )
        for number in range(count)
    ]
    return VariantMap(
        variant=name,
        against="baseline",
        examples=8,
        places=places,
        target="ort_cpu",
        batch_size=1,
        before_elsewhere_ms=0.01,
        causes=["5 % of a call goes into <layouts>."],
    )


def mapped(*maps: VariantMap) -> Report:
    """The typical report with maps."""
    return replace(example.typical(), maps=list(maps))
