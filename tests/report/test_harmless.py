"""Names that would be something else in a terminal, a page, a wiki or a spreadsheet; and parts that fail."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import signal
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

from pipeline.errors.contained import RAISING
from pipeline.report import describe, print_report, write_report
from pipeline.report.charts import figures as charts
from pipeline.report.charts.figures import draw_apart
from pipeline.report.formats.csv import csv_text
from pipeline.report.formats.html import html_text
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.verdicts import ACCURACY_MEANINGS, SPEED_MEANINGS, STOP_MEANINGS
from pipeline.results.figures import LimitVerdict
from pipeline.results.record import Status
from pipeline.results.report import Report
from tests.report import example

NASTY = "\x1b[31m<img src=x onerror=alert(1)>\u202e|`</pre>"
WORDS = {*SPEED_MEANINGS, *ACCURACY_MEANINGS, *STOP_MEANINGS, *get_args(Status), *get_args(LimitVerdict)}
KEPT = {
    "metric",
    "unit",
    "against",
    "format",
    "digest",
    "model_sha256",
    "device",
    "key",
    "compute_peak",
    "scenario",
    "factor",
}


def _nasty(item: Any, name: str = "") -> Any:
    """The same with every text that is no word of ours made nasty, at any depth."""
    if isinstance(item, str):
        return item if item in WORDS or name in KEPT else f"={item}{NASTY}"
    if is_dataclass(item) and not isinstance(item, type):
        return replace(item, **{part.name: _nasty(getattr(item, part.name), part.name) for part in fields(item)})
    if isinstance(item, dict):
        return {key: _nasty(value, key) for key, value in item.items()}
    return [_nasty(part, name) for part in item] if isinstance(item, list) else item


def printed(report: Report) -> str:
    file = io.StringIO()
    print_report(report, Console(file=file, width=120))
    return file.getvalue()


@pytest.fixture(name="report", scope="module")
def _report() -> Report:
    found: Report = _nasty(example.typical())
    return found


@pytest.mark.parametrize("write", [printed, markdown_text, html_text, csv_text])
def test_no_format_hands_on_what_a_terminal_would_obey(report: Report, write: Callable[[Report], str]) -> None:
    text = write(report).partition('<script type="application/json"')[0]
    assert "onerror" in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_no_tag_gets_into_the_page_or_the_markdown_but_in_the_fence_of_the_command(report: Report) -> None:
    assert "<img" not in html_text(report).partition("<script")[0]
    outside = re.sub(r"(?s)\n```.*?\n```+", "", markdown_text(report))
    assert not re.search(r"<(?!br>|/?details>|/?summary>)", outside)


def test_no_cell_of_the_csv_is_a_formula(report: Report) -> None:
    cells = [cell for line in csv.reader(io.StringIO(csv_text(report))) for cell in line]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "@")] == []


@pytest.mark.usefixtures("undrawn")
def test_the_json_has_the_names_as_they_are(report: Report, tmp_path: Path) -> None:
    write_report(replace(report, variants=report.variants[:1]), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["model"] == report.model


@pytest.mark.usefixtures("undrawn")
def test_half_a_character_loses_no_file(tmp_path: Path) -> None:
    assert write_report(replace(example.typical(), command="python data.path=\udc80"), tmp_path) == []
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["command"].endswith("\udc80")


def _broken(*_: Any) -> Any:
    raise ZeroDivisionError("division by zero")


@pytest.mark.parametrize("write", [printed, markdown_text, html_text])
def test_a_section_that_fails_says_so_and_the_others_are_there(
    write: Callable[[Report], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RAISING)
    monkeypatch.setattr(describe, "recommendation_lines", _broken)
    monkeypatch.setattr("pipeline.report.formats.html.headline", _broken)
    text = html.unescape(" ".join(write(example.typical()).split()))
    assert "could not be made: ZeroDivisionError: division by zero (a fault of slimline's" in text
    assert "1.86x [1.84, 1.89]" in text.replace("\\", "")


@pytest.mark.usefixtures("undrawn")
def test_a_format_that_fails_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RAISING)
    monkeypatch.setattr("pipeline.report.formats.csv.csv_text", _broken)
    [fault] = write_report(example.typical(), tmp_path)
    assert fault.startswith("report.csv could not be made: ZeroDivisionError")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]


def killed(draw: Callable[[Report], charts.Drawing], report: Report) -> charts.Drawing:
    """What the system does to a process where memory is scarce."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.usefixtures("drawn_afresh")
def test_charts_that_cost_their_process_its_life_cost_the_report_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charts, "_draw_first_to_go", killed)
    assert write_report(example.typical(), tmp_path) == []
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The charts could not be made: its process was ended by SIGKILL (out of memory?)." in page
    assert "1.86x [1.84, 1.89]" in page


def test_a_chart_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RAISING)
    monkeypatch.setattr("pipeline.report.charts.speedup.speedup_panel", _broken)
    drawing = charts.draw(example.typical())
    assert [fault.partition(":")[0] for fault in drawing.faults] == ["the charts 'Speed-up' could not be made"]
    assert len(drawing.figures) == 3


@pytest.mark.usefixtures("drawn_afresh")
def test_charts_drawn_apart_are_those_drawn_here() -> None:
    report = example.typical()
    assert draw_apart(report) == charts.draw(report)
