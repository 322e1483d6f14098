"""What the page and report.md show of the map."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pipeline.report.formats.markdown import markdown_text
from pipeline.report.map import drawn
from pipeline.report.map.drawn import drawn_map
from pipeline.report.map.picture import Drawn, picture
from pipeline.report.map.scales import error_class, saved_class, time_class
from pipeline.results.map import EQUAL_DB, VariantMap
from tests.report.example import page_of, typical
from tests.report.map_example import mapped, place, variant_map

THREE_MB = 3_000_000


def test_the_recommended_variant_comes_first_and_its_worst_place_is_named() -> None:
    found = drawn_map(mapped(variant_map("pruned"), variant_map("static_int8")))
    assert [entry.map.variant for entry in found.variants] == ["static_int8", "pruned"]
    assert found.variants[0].worst == ("map-0-1", "layer1: t5 (12.5 dB)")


def test_a_block_tells_its_time_and_its_largest_error() -> None:
    block = drawn_map(mapped(variant_map("pruned"))).variants[0].blocks[2]
    assert (block.name, block.before, block.after) == ("layer2", "0.900 ms", "0.900 ms")
    assert block.facts == "saved 0.000 ms, own error 35.0 dB at t6"


def test_every_place_is_drawn_and_has_its_row() -> None:
    block = drawn_map(mapped(variant_map("pruned"))).variants[0].blocks[1]
    assert block.picture is not None
    assert block.rows is not None
    assert block.picture.count("<rect") == 2 * block.picture.count("<g ") == 6
    assert re.findall(r'scope="row">(\w+)<', block.rows) == ["t3", "t4", "t5"]
    assert "<td>12.5</td><td>10.5</td><td>−1.50 to 2.25</td>" in block.rows


def test_an_edge_over_other_places_goes_beside_them_and_one_from_another_block_is_dashed() -> None:
    rows = [Drawn(number=number, place=place(number, "a"), before="", after="") for number in range(4)]
    whole = picture(rows)
    assert "h-12v-78h12" in whole  # over three places
    assert 'class="out"' not in whole
    assert picture(rows[1:]).count('class="out"') == 2  # places 1 and 3 read place 0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (error_class("e", 12.0), "e4"),
        (error_class("a", 20.0), "a3"),
        (error_class("e", EQUAL_DB), "e0"),
        (error_class("e", None), ""),
        (saved_class(-0.6, 1.0), "sl2"),
        (saved_class(0.1, 1.0), "s1"),
        (saved_class(-0.01, 1.0), "s0"),
        (time_class(1.0, 1.0), "t4"),
        (time_class(0.001, 1.0), "t0"),
        (time_class(None, 1.0), ""),
    ],
)
def test_the_steps_of_the_scales(found: str, expected: str) -> None:
    assert found == expected


def test_colourings_without_any_figure_are_not_offered() -> None:
    places = [replace(place(number, "a", own_db=None), before_ms=None, after_ms=None) for number in range(3)]
    found = drawn_map(mapped(VariantMap(variant="pruned", why_no_error="other shapes", places=places)))
    assert [colouring.name for colouring in found.colourings] == ["stage"]


def test_a_map_of_thousands_of_places_keeps_the_page_below_three_megabytes() -> None:
    large = [variant_map(name, count=3000, blocks=40) for name in ("static_int8", "pruned", "dynamic_int8")]
    page = page_of(mapped(*large))
    assert len(page.encode()) < THREE_MB
    first, *others = drawn_map(mapped(*large)).variants
    assert first.left_out < len(first.blocks)
    assert all(entry.left_out for entry in others)
    assert "can't be unfolded here" in page


def test_where_room_is_scarce_the_block_that_loses_most_time_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "MOST_BYTES", 3_000)
    blocks = drawn_map(mapped(variant_map("pruned"))).variants[0].blocks
    assert [block.name for block in blocks if block.picture is not None] == ["layer2"]


def test_names_are_written_as_text() -> None:
    evil = replace(place(0, "<b>"), tensor="<script>")
    page = page_of(mapped(VariantMap(variant="pruned", places=[evil, place(1, "a")])))
    assert "&lt;script&gt;" in page
    assert '<th scope="row"><script>' not in page


def test_a_report_with_a_map_has_the_section() -> None:
    assert "<h2>The map</h2>" in page_of(mapped(variant_map("pruned")))


def test_report_md_tells_the_extremes_and_why_there_is_no_map() -> None:
    text = markdown_text(mapped(variant_map("pruned"), VariantMap(variant="fp16", reason="its file has 3.0 GB")))
    assert "| pruned | 12.5 dB | layer1: t5 | 33.0 | layer2: t7 | 0.200 |" in text
    assert "fp16 has no map: its file has 3.0 GB." in text


def test_a_report_without_maps_has_no_section() -> None:
    page = page_of(typical())
    assert "<h2>The map</h2>" not in page
    assert 'class="map"' not in page
