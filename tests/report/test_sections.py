"""A section is one function: every format shows what it returns."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.errors.contained import RAISING
from pipeline.report import sections
from pipeline.report.formats.html import html_text
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.sections import sections_of
from pipeline.report.sections.section import Column, Facts, Line, Part, Section, Table, TableRow, grid
from pipeline.results.report import Report
from tests.report import example
from tests.report.example import printed

FORMATS = [printed, markdown_text, html_text]


def carbon(report: Report) -> Section | None:
    """A section as somebody would add it: what the run cost the climate."""
    if report.seed:
        return None
    table = grid(("variant", "grams"), [("baseline", "12.5"), ("static_int8", "7.25")])
    return Section(
        title="Carbon",
        notes=["Grams of carbon dioxide, from the mean power and the grid's mix."],
        parts=[Part(title="By variant", lines=[Line(text="Half of it is idle power.")], tables=[table])],
        brief=[Part(title="Carbon", lines=[Line(text="Half of it is idle power.")], tables=[table])],
    )


@pytest.fixture(name="_added")
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTIONS", (*sections.SECTIONS, carbon))


def words_of(text: str) -> str:
    """The text without marks and tags, on one line."""
    plain = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return " ".join(re.sub(r"[|*\\#-]", " ", plain).split())


def titles_of(page: str) -> list[str]:
    return re.findall(r"<h[23][^>]*>([^<]*)</h", page.partition("<body>")[2].partition("</main>")[0])


@pytest.mark.usefixtures("_added")
@pytest.mark.parametrize("write", FORMATS)
def test_a_section_that_is_added_is_in_every_format(write: Callable[[Report], str]) -> None:
    text = words_of(write(example.report([])))
    for words in ("Carbon", "Half of it is idle power.", "variant grams", "baseline 12.5 static_int8 7.25"):
        assert words in text


@pytest.mark.usefixtures("_added")
@pytest.mark.parametrize("write", [markdown_text, html_text])
def test_its_notes_and_titles_are_in_both_files(write: Callable[[Report], str]) -> None:
    text = words_of(write(example.report([])))
    assert "Carbon Grams of carbon dioxide, from the mean power and the grid's mix. By variant Half" in text


@pytest.mark.usefixtures("_added")
def test_a_section_without_anything_to_tell_is_left_out() -> None:
    found = replace(example.report([]), seed=1)
    assert "Carbon" not in printed(found) + markdown_text(found) + html_text(found)


@pytest.mark.parametrize("write", FORMATS)
def test_a_section_that_fails_is_named_in_every_format(
    write: Callable[[Report], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def life_cycle(_: Report) -> Section:
        raise ZeroDivisionError("division by zero")

    monkeypatch.delenv(RAISING)
    monkeypatch.setattr(sections, "SECTIONS", (life_cycle, *sections.SECTIONS))
    text = words_of(write(example.typical()))
    assert "the section 'life cycle' could not be made: ZeroDivisionError: division by zero" in text
    assert "1.86x [1.84, 1.89]" in text


PAINTED = Section(
    title="Everything at once",
    parts=[
        Part(
            lines=[Line(text="on ort_cpu", word="failed", tone="bad"), Line(text="second")],
            facts=[Facts(title="Settings", pairs=[("seed", "7"), ("FASTER", "quick")])],
            code="python -m pipeline",
            parts=[Part(title="Inside", lines=[Line(text="hidden at first")], folded=True)],
        ),
        Part(
            tables=[
                Table(
                    columns=(Column(head="name"), Column(head="speed (ms)", align="right")),
                    rows=[TableRow(cells=(("SAME",), ("1.2", "FASTER")), mark="recommended", keys=("SAME", 1.2))],
                )
            ]
        ),
    ],
)


@pytest.fixture(name="_painted")
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTIONS", (lambda _: PAINTED,))


@pytest.mark.usefixtures("_painted")
def test_markdown_writes_each_kind_of_part() -> None:
    text = markdown_text(example.report([])).partition("<summary>Everything at once</summary>")[2]
    assert text == (
        "\n\n- **failed** on ort_cpu\n- second\n\nSettings:\n\n- **seed**: 7\n- **FASTER**: quick\n\n"
        "```\npython -m pipeline\n```\n\n#### Inside\n\nhidden at first\n\n"
        "| name | speed (ms) |\n| --- | ---: |\n| **SAME** (recommended) | 1.2<br>FASTER |\n\n</details>\n"
    )


@pytest.mark.usefixtures("_painted")
def test_the_page_writes_each_kind_of_part() -> None:
    text = " ".join(example.page_of(example.report([])).split())
    for markup in (
        '<details id="everything-at-once" class="section" open> <summary><h2>Everything at once</h2></summary>',
        '<a href="#everything-at-once">Everything at once</a>',
        '<li><strong class="bad">failed</strong> on ort_cpu</li>',
        '<dt>seed</dt><dd>7</dd> <dt class="verdict good">FASTER</dt><dd>quick</dd>',
        "<pre>python -m pipeline</pre>",
        '<details> <summary>Inside</summary> <p class="neutral">hidden at first</p>',
        '<th scope="col" class="right"><button type="button">speed (ms)</button></th>',
        '<tr class="marked">',
        '<small class="verdict good">recommended</small></th>',
        '<td data-sort="1.2" class="right">1.2<small class="verdict good">FASTER</small>',
    ):
        assert markup in text
    assert '<small class="verdict neutral">SAME</small>' not in text  # a variant may be called like a verdict


def test_every_section_of_a_run_has_its_own_title() -> None:
    titles = [section.title for section in sections_of(example.typical())]
    assert len(set(titles)) == len(titles)


def test_a_cell_without_a_value_is_a_dash_in_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(columns=(Column(head="a"), Column(head="b")), rows=[TableRow(cells=(("x",), ()))])
    monkeypatch.setattr(sections, "SECTIONS", (lambda _: Section(title="Gap", parts=[Part(tables=[table])]),))
    assert '<td class="left">–' in example.page_of(example.report([]))


def test_charts_stand_in_their_section_in_the_order_of_the_data() -> None:
    assert titles_of(html_text(example.typical()))[:6] == [
        "Results",
        "Accuracy against latency",
        "Speed, latency and size",
        "Speed-up",
        "Latency distributions",
        "Size and memory",
    ]


def test_charts_of_a_section_that_failed_are_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTIONS", (carbon,))
    assert titles_of(html_text(example.typical())) == [
        "Carbon",
        "By variant",
        "Charts",
        "Accuracy against latency",
        "Speed-up",
        "Latency distributions",
        "Size and memory",
    ]
