"""The map of report.html in a browser: choosing, unfolding, dark, narrow, print, without scripts, axe-core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.report.example import page_of
from tests.report.formats.test_browser import CHROMIUM, NARROW, RULES, WIDE, _browser, opened
from tests.report.map_example import mapped, variant_map

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["_browser"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")]


@pytest.fixture(name="address", scope="module")
def _address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("map") / "report.html"
    page = page_of(mapped(variant_map("static_int8"), variant_map("pruned")))
    path.write_text(page, encoding="utf-8", newline="")
    return path.as_uri()


def colour_of(page: Page, place: str) -> str:
    found: str = page.locator(place).first.evaluate("cell => getComputedStyle(cell).backgroundColor")
    return found


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("colouring", ["t", "s", "e", "g"])
def test_axe_finds_nothing(browser: Browser, address: str, size: tuple[int, int], scheme: str, colouring: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(browser, address, size, color_scheme=scheme)
    page.locator(f"#map-by-{colouring}").check()
    page.evaluate("document.querySelectorAll('.map details').forEach(part => part.open = true)")
    assert [found["id"] for found in axe.run(page, ".map", options=RULES).response["violations"]] == []


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_an_unfolded_map_is_not_wider_than_the_page(browser: Browser, address: str, size: tuple[int, int]) -> None:
    page = opened(browser, address, size)
    page.evaluate("document.querySelectorAll('.map details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]


def test_without_scripts_a_variant_and_a_colouring_are_chosen_and_a_block_unfolds(
    browser: Browser, address: str
) -> None:
    page = opened(browser, address, java_script_enabled=False)
    shown, other = page.locator(".map .variant-0"), page.locator(".map .variant-1")
    assert shown.is_visible()
    assert not other.is_visible()
    page.locator("#map-variant-1").check()
    assert not shown.is_visible()
    cell = ".map .variant-1 .block .cell:nth-of-type(3)"
    before = colour_of(page, cell)
    page.locator("#map-by-e").check()
    assert colour_of(page, cell) != before
    block = page.locator("#map-1-1")
    assert not block.locator("svg").is_visible()
    block.locator("summary").click()
    assert block.locator("svg").is_visible()


def test_the_link_to_the_worst_place_opens_its_block_and_a_place_tells_its_row(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    page.get_by_role("link", name="t5 (12.5 dB)").first.click()
    block = page.locator("#map-0-1")
    assert block.get_attribute("open") is not None
    block.locator("svg g").nth(2).hover()
    tip = page.locator(".tip").inner_text()
    assert tip.startswith("place: t5 · stage: quantize")
    assert "own error (dB): 12.5" in tip
    assert "lit" in (block.locator("tbody tr").nth(2).get_attribute("class") or "")


def test_print_leaves_out_the_places_and_what_can_be_chosen(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    page.evaluate("document.querySelectorAll('.map details').forEach(part => part.open = true)")
    page.emulate_media(media="print")
    assert page.locator("#map-0-1 summary").is_visible()
    assert not page.locator("#map-0-1 svg").is_visible()
    assert not page.locator("#map-by-t").is_visible()


def test_the_map_can_be_skipped_by_keyboard(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    link = page.get_by_role("link", name="Skip the map")
    link.focus()
    assert (link.bounding_box() or {"x": -1.0})["x"] >= 0
    link.press("Enter")
    assert page.evaluate("document.activeElement.id") == "after-the-map"
