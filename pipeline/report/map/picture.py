"""Draws a block of the map: the baseline's places on the left, the variant's on the right, matching ones in a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.results.map import EQUAL_DB, MapNode, MapPlace
from pipeline.terminal.screen import printable

WIDTH = 400
_ROW, _BOX, _BOX_WIDTH = 26, 20, 140
_LEFT, _RIGHT = 24, WIDTH - 24 - _BOX_WIDTH
_LONGEST = 21
_NEAR, _FAR = 6, 20
"""How far a line beside the boxes lies from them: of an edge over one place, and at most."""
_ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A place with the classes of its two boxes."""

    number: int
    place: MapPlace
    before: str
    after: str


def picture(rows: Sequence[Drawn]) -> Markup:
    """The block as an SVG. An edge that passes over places goes beside them; a dashed one comes from another block."""
    lines = {row.number: line for line, row in enumerate(rows)}
    height = _ROW * len(rows) + 4
    inside = Markup("").join(_row(row, line, lines) for line, row in enumerate(rows))
    return Markup('<svg viewBox="0 0 {} {}" aria-hidden="true">{}</svg>').format(WIDTH, height, inside)


def _row(row: Drawn, line: int, lines: Mapping[int, int]) -> Markup:
    place = row.place
    boxes = Markup("").join(
        Markup('<rect x="{}" width="{}" height="{}" rx="3" class="{}"/><text x="{}" y="14">{}</text>').format(
            left, _BOX_WIDTH, _BOX, classes, left + 6, _short(text)
        )
        for left, classes, text in (
            (_LEFT, row.before, label(place, place.before)),
            (_RIGHT, row.after, " + ".join(place.kernels) or label(place, place.after)),
        )
    )
    return Markup('<g transform="translate(0,{})"><path d="{}"/>{}{}</g>').format(
        _ROW * line + 2, "".join(_edges(row, line, lines)), _outside(row, lines), boxes + _error(place)
    )


def _edges(row: Drawn, line: int, lines: Mapping[int, int]) -> Iterator[str]:
    """The edges of a place from others of its block, and the line between its two boxes."""
    yield f"M{_LEFT + _BOX_WIDTH} 10H{_RIGHT}"
    for source in row.place.reads:
        above = line - lines.get(source, line)
        if above == 1:
            yield from (f"M{left + _BOX_WIDTH // 2} 0v{_BOX - _ROW}" for left in (_LEFT, _RIGHT))
        elif above > 1:
            bow = min(_NEAR + 2 * above, _FAR)
            yield f"M{_LEFT} 10h-{bow}v-{_ROW * above}h{bow}M{_RIGHT + _BOX_WIDTH} 10h{bow}v-{_ROW * above}h-{bow}"


def _outside(row: Drawn, lines: Mapping[int, int]) -> Markup:
    if all(source in lines for source in row.place.reads):
        return Markup("")
    right = _RIGHT + _BOX_WIDTH
    return Markup('<path class="out" d="M{} 6h-{}v-6M{} 6h{}v-6"/>').format(_LEFT, _NEAR, right, _NEAR)


def _error(place: MapPlace) -> Markup:
    """The error that is made there, between the two boxes."""
    known = place.own_sqnr_db
    if known is None or known >= EQUAL_DB:
        return Markup("")
    return Markup('<text x="{}" y="8" class="db">{:.0f} dB</text>').format(WIDTH // 2, known)


def label(place: MapPlace, nodes: Sequence[MapNode]) -> str:
    """What a place does, in operators; nodes that only round are told where there is nothing else."""
    ops = list(dict.fromkeys(node.op for node in nodes if node.op not in _ROUNDING))
    if ops:
        return " + ".join(ops)
    return "rounded" if nodes else "input" if not place.reads else "–"


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
