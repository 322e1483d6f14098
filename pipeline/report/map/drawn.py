"""What the page shows of the map: for each variant its blocks, and inside of them its places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from pipeline.report.map.picture import Drawn, picture
from pipeline.report.map.scales import Colouring, colourings, error_class, saved_class, stage_class, time_class
from pipeline.report.map.words import (
    Column,
    columns_of,
    decibels,
    milliseconds,
    nodes_of,
    saved_by,
    total_ms,
)
from pipeline.results.map import MapPlace, VariantMap, worst_of
from pipeline.results.report import Report
from pipeline.terminal.screen import printable

MOST_BYTES = 1_800_000
"""So much of the page may be places; beyond that a block has its own figures only. The whole page keeps below 3 MB."""
_FEWEST_BYTES = 300
"""A place takes more than that, so a block that has no room at all need not be drawn to know it."""
WHOLE = "the whole graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of the map."""

    anchor: str
    """Its name in the page's links."""
    name: str
    places: Sequence[MapPlace]
    before: str
    after: str
    """What its two cells say."""
    before_class: str
    after_class: str
    facts: str
    picture: Markup | None = None
    """The graph inside of it; None where the page has no room for it."""
    rows: Markup | None = None
    """The table's rows, one for each place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A variant's map."""

    number: int
    map: VariantMap
    columns: Sequence[Column]
    blocks: Sequence[Block]
    worst: tuple[str, str] | None
    """The block's anchor, and the place that makes the largest error itself in words."""

    @property
    def left_out(self) -> int:
        """How many blocks can't be unfolded."""
        return sum(block.picture is None for block in self.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMap:
    """The whole map."""

    variants: Sequence[Variant]
    """The recommended one first."""
    colourings: Sequence[Colouring]
    """What the map can be coloured by; the first one is chosen at first."""


def drawn_map(report: Report) -> DrawnMap:
    """The map of a report, for its page."""
    chosen = None if report.recommendation is None else report.recommendation.variant
    maps = sorted((one for one in report.maps if one.places), key=lambda one: one.variant != chosen)
    stages = list(dict.fromkeys(place.stages[-1] for one in maps for place in one.places if place.stages))
    room = MOST_BYTES
    variants = []
    for number, one in enumerate(maps):
        variant, used = _variant(number, one, stages, room)
        room -= used
        variants.append(variant)
    known = {key for one in maps for key in _known(one)}
    return DrawnMap(variants=variants, colourings=[each for each in colourings(stages) if each.key in known])


def _known(one: VariantMap) -> Iterable[str]:
    """The letters of the colourings that a map has something to show for."""
    if any(place.saved_ms is not None for place in one.places):
        yield from "ts"
    if any(place.own_sqnr_db is not None for place in one.places):
        yield "e"
    if any(place.sqnr_db is not None for place in one.places):
        yield "a"
    yield "g"


def _variant(number: int, one: VariantMap, stages: Sequence[str], room: int) -> tuple[Variant, int]:
    """A variant, and how many bytes of the page its places take; the blocks with the largest errors and losses come
    first where there is not room for all."""
    names = list(dict.fromkeys(place.block for place in one.places))
    inside = [[place for place in one.places if place.block == name] for name in names]
    blocks = [
        _block(f"map-{number}-{place}", name or WHOLE, places, stages)
        for place, (name, places) in enumerate(zip(names, inside, strict=True))
    ]
    blocks = _coloured(blocks)
    columns = columns_of(one)
    places = _drawn(one, stages)
    used = 0
    for place in sorted(range(len(blocks)), key=lambda place: _rank(blocks[place])):
        block = blocks[place]
        if used + _FEWEST_BYTES * len(block.places) > room:
            continue
        shown = [row for row in places if row.place.block == names[place]]
        image, rows = picture(shown), _rows(block.places, columns)
        taken = len(image.encode()) + len(rows.encode())
        if used + taken <= room:
            used += taken
            blocks[place] = replace(block, picture=image, rows=rows)
    found = worst_of(one.places)
    worst = None
    if found is not None:
        anchor = next(block.anchor for block in blocks if found in block.places)
        worst = (anchor, f"{found.where} ({decibels(found.own_sqnr_db)} dB)")
    return Variant(number=number, map=one, columns=columns, blocks=blocks, worst=worst), used


def _rank(block: Block) -> tuple[float, float]:
    found = worst_of(block.places)
    return (saved_by(block.places) or 0.0, 1e9 if found is None else found.own_sqnr_db or 0.0)


def _block(anchor: str, name: str, places: Sequence[MapPlace], stages: Sequence[str]) -> Block:
    before_ms, after_ms = (total_ms([getattr(place, side) for place in places]) for side in ("before_ms", "after_ms"))
    found = worst_of(places)
    gain = saved_by(places)
    facts = [
        *([f"{'saved' if gain >= 0 else 'lost'} {milliseconds(abs(gain))} ms"] if gain is not None else []),
        *([f"own error {decibels(found.own_sqnr_db)} dB at {found.tensor}"] if found is not None else []),
    ]
    last = [stage for place in places for stage in place.stages]
    so_far = [place.sqnr_db for place in places if place.sqnr_db is not None]
    return Block(
        anchor=anchor,
        name=name,
        places=places,
        before=f"{milliseconds(before_ms)} ms" if before_ms is not None else nodes_of(places, lambda one: one.before),
        after=f"{milliseconds(after_ms)} ms" if after_ms is not None else nodes_of(places, lambda one: one.after),
        before_class="",
        after_class=_joined(
            error_class("e", None if found is None else found.own_sqnr_db),
            error_class("a", so_far[-1] if so_far else None),
            stage_class(last[-1:], stages),
        ),
        facts=", ".join(facts),
    )


def _coloured(blocks: Sequence[Block]) -> list[Block]:
    """The blocks with the steps of their times."""
    times = [
        (total_ms([place.before_ms for place in block.places]), total_ms([place.after_ms for place in block.places]))
        for block in blocks
    ]
    steps = _steps(times, [saved_by(block.places) for block in blocks])
    return [
        replace(block, before_class=before, after_class=_joined(after, block.after_class))
        for block, (before, after) in zip(blocks, steps, strict=True)
    ]


def _drawn(one: VariantMap, stages: Sequence[str]) -> list[Drawn]:
    """The places with the steps of their colours."""
    times = [(place.before_ms, place.after_ms) for place in one.places]
    steps = _steps(times, [place.saved_ms for place in one.places])
    return [
        Drawn(
            number=number,
            place=place,
            before=before,
            after=_joined(
                after,
                error_class("e", place.own_sqnr_db),
                error_class("a", place.sqnr_db),
                stage_class(place.stages, stages),
            ),
        )
        for number, (place, (before, after)) in enumerate(zip(one.places, steps, strict=True))
    ]


def _steps(times: Sequence[tuple[float | None, float | None]], gains: Sequence[float | None]) -> list[tuple[str, str]]:
    """The steps of the baseline's and the variant's times, as shares of the longest, and with the latter the step of
    what it saves, as a share of the largest gain or loss."""
    most_ms = max((ms for pair in times for ms in pair if ms is not None), default=0.0)
    most_gain = max((abs(gain) for gain in gains if gain is not None), default=0.0)
    return [
        (time_class(before, most_ms), _joined(time_class(after, most_ms), saved_class(gain, most_gain)))
        for (before, after), gain in zip(times, gains, strict=True)
    ]


def _joined(*classes: str) -> str:
    return " ".join(filter(None, classes))


def _rows(places: Sequence[MapPlace], columns: Sequence[Column]) -> Markup:
    return Markup("\n".join(_row(place, columns) for place in places))


def _row(place: MapPlace, columns: Sequence[Column]) -> str:
    cells = "".join(f"<td>{escape(printable(column.cell(place)))}</td>" for column in columns)
    return f'<tr><th scope="row">{escape(printable(place.tensor))}</th>{cells}</tr>'
