"""Draws a block of the map: the baseline's places on the left, the variant's on the right, matching ones in a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from pipeline.results.map import EQUAL_DB, MapNode, MapPlace
from pipeline.terminal.screen import printable

WIDTH = 400
_ROW, _BOX, _BOX_WIDTH = 26, 20, 140
_LEFT, _RIGHT = 24, WIDTH - 24 - _BOX_WIDTH
_LONGEST = 19
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
    inside = "".join(_row(row, line, lines) for line, row in enumerate(rows))
    return Markup(f'<svg viewBox="0 0 {WIDTH} {_ROW * len(rows) + 4}" aria-hidden="true">{inside}</svg>')


def _row(row: Drawn, line: int, lines: Mapping[int, int]) -> str:
    place = row.place
    own = _box(_LEFT, row.before, label(place, place.before))
    theirs = _box(_RIGHT, row.after, " + ".join(place.kernels) or label(place, place.after))
    edges = f'<path d="{"".join(_edges(row, line, lines))}"/>{_outside(row, lines)}'
    return f'<g transform="translate(0,{_ROW * line + 2})">{edges}{own}{theirs}{_error(place)}</g>'


def _box(left: int, classes: str, text: str) -> str:
    rect = f'<rect x="{left}" width="{_BOX_WIDTH}" height="{_BOX}" rx="3" class="{classes}"/>'
    return f'{rect}<text x="{left + 6}" y="14">{escape(_short(text))}</text>'


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


def _outside(row: Drawn, lines: Mapping[int, int]) -> str:
    if all(source in lines for source in row.place.reads):
        return ""
    return f'<path class="out" d="M{_LEFT} 6h-{_NEAR}v-6M{_RIGHT + _BOX_WIDTH} 6h{_NEAR}v-6"/>'


def _error(place: MapPlace) -> str:
    """The error that is made there, between the two boxes."""
    known = place.own_sqnr_db
    if known is None or known >= EQUAL_DB:
        return ""
    return f'<text x="{WIDTH // 2}" y="8" class="db">{known:.0f} dB</text>'


def label(place: MapPlace, nodes: Sequence[MapNode]) -> str:
    """What a place does, in operators; nodes that only round are told where there is nothing else."""
    ops = list(dict.fromkeys(node.op for node in nodes if node.op not in _ROUNDING))
    if ops:
        return " + ".join(ops)
    return "rounded" if nodes else "input" if not place.reads else "–"


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
