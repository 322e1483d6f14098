"""report.html in a browser: sorting, choosing, folding, dark, print, axe-core, and no request."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.report.formats.html import html_text
from pipeline.report.looks import Look
from tests.report import example

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WIDE, NARROW = (1400, 900), (390, 844)
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel, in base64."""
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here")]


@pytest.fixture(name="address", scope="module")
def _address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    looks = {0: Look(picture=f"data:image/png;base64,{PIXEL}"), 1: Look(text="a good film")}
    path.write_text(html_text(example.flipped(0, 1, 2), looks=looks), encoding="utf-8", newline="")
    return path.as_uri()


@pytest.fixture(name="browser", scope="module")
def _browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, address: str, size: tuple[int, int] = WIDE, **settings: Any) -> Page:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **settings)
    page.goto(address)
    return page


def first_column(page: Page) -> list[str]:
    script = "cells => cells.map(cell => cell.firstChild.textContent.trim())"
    names: list[str] = page.eval_on_selector_all("#results tbody th", script)
    return names


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, address: str, size: tuple[int, int], scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(browser, address, size, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert [found["id"] for found in axe.run(page, options=RULES).response["violations"]] == []


def test_the_page_asks_for_nothing_and_no_script_complains(browser: Browser, address: str) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    assert (asked, said) == ([address], [])


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_only_tables_are_wider_than_the_page(browser: Browser, address: str, size: tuple[int, int]) -> None:
    page = opened(browser, address, size)
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]


def test_the_first_screen_has_the_table_and_the_chart(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    for place in ("#results table", "#results .wide-chart"):
        box = page.locator(place).bounding_box()
        assert box is not None
        assert box["y"] < WIDE[1] / 2
    table = page.locator("#results .wide")
    assert table.evaluate("box => box.scrollWidth <= box.clientWidth")


def test_a_heading_sorts_and_a_second_click_turns_the_order_round(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    assert first_column(page)[0] == "static_int8"
    heading = page.get_by_role("button", name=re.compile("^p50"))
    heading.click()
    assert first_column(page) == ["pruned_int8", "static_int8", "pruned", "baseline", "dynamic_int8"]
    heading.click()
    assert first_column(page)[0] == "dynamic_int8"


def test_a_column_appears_when_it_is_chosen(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    flips = page.get_by_role("columnheader", name="flips")
    assert not flips.is_visible()
    page.locator(".chooser summary").click()
    page.get_by_role("checkbox", name=re.compile("^flips")).check()
    assert flips.is_visible()


def test_a_link_opens_the_part_that_it_leads_to(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    part = page.locator("#chains-of-stages")
    assert part.get_attribute("open") is None
    page.get_by_role("link", name="Chains of stages").click()
    assert part.get_attribute("open") is not None


def test_print_opens_every_part_and_shows_no_advice_on_clicks(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    page.emulate_media(media="print")
    assert not page.get_by_text("Click a heading to sort.").first.is_visible()
    assert page.get_by_text("1. export (ExportOnnx)").or_(page.get_by_text("1. export (Export)")).first.is_visible()


def test_the_charts_follow_the_readers_scheme(browser: Browser, address: str) -> None:
    fills = {
        opened(browser, address, color_scheme=scheme)
        .locator(".wide-chart svg text")
        .first.evaluate("text => getComputedStyle(text).fill")
        for scheme in ("light", "dark")
    }
    assert len(fills) == 2


def test_without_scripts_the_charts_and_the_chooser_are_there(browser: Browser, address: str) -> None:
    page = opened(browser, address, java_script_enabled=False)
    assert page.locator(".wide-chart svg").first.is_visible()
    page.locator(".chooser summary").click()
    page.get_by_role("checkbox", name=re.compile("^flips")).check()
    assert page.get_by_role("columnheader", name="flips").is_visible()


def test_a_mark_shows_its_text_under_the_pointer(browser: Browser, address: str) -> None:
    page = opened(browser, address)
    page.locator("#results .wide-chart .mark-symbol path").first.hover()
    assert "ms a call" in page.locator(".tip").inner_text()


def test_the_page_is_small() -> None:
    assert len(html_text(example.typical()).encode()) < 1_500_000
