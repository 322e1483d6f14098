"""report.md and report.html, and how the files are written."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from rich.console import Console

from pipeline.errors import OutOfSpace
from pipeline.report import print_report, write_report
from pipeline.report.charts.figures import Drawing, draw, figures
from pipeline.report.deployed import deployed
from pipeline.report.formats.html import html_text, security_policy
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.verdicts import ACCURACY_MEANINGS, SPEED_MEANINGS, TONES
from pipeline.results.comparison import Outcome
from pipeline.results.figures import DeadlineVerdict, Reference, SpeedVerdict
from pipeline.results.header import Machine
from pipeline.results.intervals import AccuracyVerdict
from pipeline.results.report import Report
from tests.report import example

HOSTILE = "</script><script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def with_class(self, name: str) -> list[dict[str, str | None]]:
        return [found for _, found in self.elements if name in (found.get("class") or "").split()]


def _hostile() -> Report:
    report = example.typical()
    variants = [replace(variant, name=f"{variant.name}{HOSTILE}") for variant in report.variants]
    return replace(
        report,
        variants=variants,
        model=HOSTILE,
        summary=HOSTILE,
        machine=Machine(cpu=HOSTILE, libraries={HOSTILE: HOSTILE}),
    )


@pytest.fixture(name="page", scope="module")
def _page() -> Page:
    return Page(html_text(example.typical()))


def test_the_page_shows_every_row_and_every_reason(page: Page) -> None:
    for variant in example.typical().variants:
        assert variant.name in page.text
    assert "1.86x [1.84, 1.89]" in page.text
    assert example.NO_CUDA in page.text
    assert "leaves layer 'head' without channels" in page.text


def test_the_page_begins_with_what_to_deploy_its_figures_and_what_lost(page: Page) -> None:
    told = ("Deploy static_int8 on ort_cpu", "1.86x", "before 93.85 %", "Next best: pruned_int8 is faster", "Results")
    places = [page.text.index(words) for words in told]
    assert places == sorted(places)


def test_the_recommended_row_is_the_first_of_the_page_and_of_the_markdown(page: Page) -> None:
    table = page.text.partition("More columns")[2]
    assert table.index("static_int8") < table.index("baseline")
    text = markdown_text(example.typical()).partition("## Results")[2]
    assert text.index("**static_int8**") < text.index("| baseline |")


def test_a_column_that_is_the_same_in_every_row_is_said_once(page: Page) -> None:
    assert "The same in every row: target ort_cpu; batch 1;" in page.text
    assert ">target</button>" not in example.page_of(example.typical())


def test_the_columns_that_decide_are_shown_and_the_others_wait_to_be_chosen() -> None:
    table = example.page_of(example.typical()).partition("<thead>")[2].partition("</thead>")[0]
    shown = re.findall(r'<th scope="col" class="(?:left|right)">.*?>([^<]+)</button>', table)
    assert shown == ["variant", "accuracy", "speed-up", "p50 (ms)", "p99 (ms)", "size (MB)"]


def test_without_a_recommendation_the_page_says_why() -> None:
    page = Page(example.page_of(example.report([example.variant("baseline", [example.result(0.4, found=None)])])))
    assert "Nothing to deploy yet" in page.text
    assert "Recommended: none. no variant was faster within the allowed drop." in page.text


def test_the_page_names_the_runs_bundle_and_the_command_that_verifies_it(tmp_path: Path) -> None:
    report = example.typical()
    assert deployed(report, tmp_path) is None
    bundle = tmp_path / "deploy" / "static_int8"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text('{"runtime": "torch"}')
    found = deployed(report, tmp_path)
    assert found is not None
    assert found.command == f"python -m pipeline verify {bundle} --run-infer"
    assert found.command in Page(html_text(report, Drawing(figures=[]), found)).text


def test_the_page_loads_nothing(page: Page) -> None:
    loading = {"src", "data", "action", "srcset", "poster", "background"}
    assert not [found for _, found in page.elements if loading & set(found)]
    assert all((found["href"] or "").startswith("#") for _, found in page.elements if "href" in found)
    style = html_text(example.report([])).split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(found["content"] for _, found in page.elements if found.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_no_chart_takes_its_data_from_an_address() -> None:
    for panel in (panel for figure in figures(example.typical()) for panel in figure.panels):
        addresses = re.findall(r"https?://[^\"]+", json.dumps(panel.spec))
        assert [address for address in addresses if not address.startswith("https://vega.github.io/schema/")] == []
        assert '"url"' not in json.dumps(panel.spec)


def test_the_policy_names_the_script_that_is_in_the_page(page: Page) -> None:
    policy = next(found["content"] for _, found in page.elements if found.get("http-equiv"))
    assert [security_policy(script) for script in page.scripts] == [policy]


def test_every_chart_is_in_the_page_twice_and_has_its_figures_in_words(page: Page) -> None:
    charts = page.with_class("chart")
    assert len(charts) == 2 * 5 == [tag for tag, _ in page.elements].count("svg")
    assert all(found["role"] == "img" for found in charts)
    assert any("static_int8 1.86x [1.84, 1.89] FASTER" in (found["aria-label"] or "") for found in charts)


def test_a_charts_mark_says_its_row_in_words_with_units() -> None:
    images = [image for figure in draw(example.typical()).figures for panel in figure.panels for image in panel.images]
    assert any("<title>static_int8: 93.73 % at 0.221 ms a call (recommended)</title>" in image for image in images)


def test_the_tables_headings_have_scopes(page: Page) -> None:
    scopes = [found.get("scope") for tag, found in page.elements if tag == "th"]
    assert scopes.count("row") == 10  # of the results, and of the machine's limit
    assert None not in scopes


def test_hostile_text_stays_text_in_the_page() -> None:
    page = Page(html_text(_hostile()))
    assert len(page.scripts) == 1
    assert f"baseline{HOSTILE}" in page.text
    assert "alert(1)" not in page.scripts[0]


def test_hostile_text_stays_text_in_markdown() -> None:
    text = markdown_text(_hostile())
    assert "<script" not in text
    assert "baseline&lt;/script&gt;" in text


def test_the_markdown_has_every_row_and_every_reason() -> None:
    text = markdown_text(example.typical())
    for name in ("baseline", "dynamic_int8", "**static_int8** (recommended)", "pruned", "pruned_int8"):
        assert f"\n| {name} |" in text
    assert f"- **skipped** on ort_cuda, batch 1: {example.NO_CUDA} (baseline, dynamic_int8" in text
    assert "- **failed** on ort_cpu, batch 1: stage 'prune'" in text


def test_a_pipe_in_a_name_does_not_end_a_cell() -> None:
    text = markdown_text(example.report([example.variant("a|b`c*d\n| e", [example.result(0.4, found=None)])]))
    results = text.partition("## Results")[2].partition("\n<details>")[0]
    rows = [line for line in results.splitlines() if line.startswith("| ")]
    cells = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert len(rows) == 3
    assert len(cells) == 1


def test_the_markdown_tells_each_chain_with_its_drift() -> None:
    text = markdown_text(example.typical())
    assert "#### 1. export (Export)\n\nreused from the store, digest" in text
    assert "#### 2. quantize (QuantizeStatic)\n\nbuilt in 2.41 s" in text
    assert "\n\nNotes: drift.sqnr_db 31.2; " in text


def test_without_measured_rows_there_are_no_charts_of_them() -> None:
    report = example.report([example.failed("broken", "no space left on the device")])
    assert figures(report) == []
    page = Page(html_text(report))
    assert "No row was measured." in page.text
    assert page.with_class("chart") == []


def test_a_single_variant_has_no_speedup_chart() -> None:
    report = example.report([example.variant("baseline", [example.result(0.4, found=None)])])
    assert [figure.title for figure in figures(report)] == ["Latency distributions", "Size and memory"]


def test_missing_memory_leaves_the_chart_of_sizes() -> None:
    rows = [replace(example.result(0.4, found=None), peak_memory_bytes=None)]
    found = figures(example.report([example.variant("baseline", rows)]))
    assert [panel.title for panel in found[-1].panels] == ["Size"]


def test_each_target_and_batch_size_has_its_own_panel() -> None:
    rows = [example.result(0.4, found=None, target=target, batch_size=size)
            for target in ("ort_cpu", "torch_cpu") for size in (1, 32)]  # fmt: skip
    found = figures(example.report([example.variant(f"variant_{number}", rows) for number in range(30)]))
    assert [panel.title for panel in found[0].panels] == [
        "ort_cpu, batch 1",
        "ort_cpu, batch 32",
        "torch_cpu, batch 1",
        "torch_cpu, batch 32",
    ]


def test_an_unbounded_interval_is_drawn_to_the_edge() -> None:
    panel = next(figure for figure in figures(example.unbounded()) if figure.title == "Speed-up").panels[0]
    assert "Infinity" not in json.dumps(panel.spec)
    assert "[0.00, inf]" in panel.words


def test_every_verdict_has_a_meaning_and_a_tone() -> None:
    assert set(SPEED_MEANINGS) == set(get_args(SpeedVerdict))
    assert set(ACCURACY_MEANINGS) == set(get_args(AccuracyVerdict))
    others = {"VALID", "INVALID", "not run", *get_args(Outcome), *get_args(DeadlineVerdict)}
    assert set(TONES) == {*SPEED_MEANINGS, *ACCURACY_MEANINGS, *others}


@pytest.mark.usefixtures("undrawn")
def test_all_four_files_are_written_and_nothing_else(tmp_path: Path) -> None:
    write_report(example.typical(), tmp_path / "run")
    found = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert found == ["report.csv", "report.html", "report.json", "report.md"]


def test_a_full_disk_leaves_the_old_file_and_no_half_of_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    path.write_text("old")

    def full(_source: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutOfSpace, match=r"report\.json"):
        write_report(example.report([]), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "old"


def test_importing_the_package_leaves_the_chart_libraries_alone() -> None:
    code = "import sys, pipeline.report; print({'altair', 'vl_convert', 'jinja2', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.usefixtures("undrawn")
def test_every_format_tells_a_remark_with_the_rows_that_it_is_about(tmp_path: Path) -> None:
    remark = "8 threads on 2 cores: they wait for each other"
    rows = [replace(example.result(0.4, found=None), remarks=[remark]) for _ in range(2)]
    report = example.report([example.variant("one", rows[:1]), example.variant("two", rows[1:])])
    write_report(report, tmp_path)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8").replace("\\", "")
        assert f"one, two on ort_cpu, batch 1: {remark}." in text


@pytest.mark.usefixtures("undrawn")
def test_the_model_files_own_digest_stands_beside_the_stores(tmp_path: Path) -> None:
    variant = replace(example.variant("one", [example.result(0.4, found=None)]), model_sha256="ab" * 32)
    write_report(example.report([variant]), tmp_path)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8").replace("\\", "")
        assert f"model.onnx: sha256 {'ab' * 32}" in text
        assert f"artifact in the store: digest {example.DIGEST}" in text


@pytest.mark.usefixtures("undrawn")
def test_the_report_says_which_slimline_measured(tmp_path: Path) -> None:
    made = {"version": "0.1.0", "commit": "8a4c067" + "0" * 33, "changed": True}
    write_report(replace(example.typical(), slimline=made), tmp_path)
    for name in ("report.md", "report.html"):
        assert "slimline 0.1.0, commit 8a4c06700000, changed since" in (tmp_path / name).read_text(encoding="utf-8")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["slimline"] == made


@pytest.mark.usefixtures("undrawn")
def test_every_format_names_a_run_that_measured_at_the_same_time(tmp_path: Path) -> None:
    told = "process 7 (python -m pipeline, since 12:00:00) measured at the same time"
    report = replace(example.report([]), noise=replace(example.noise(), beside=[told]))
    write_report(report, tmp_path)
    for name in ("report.json", "report.md", "report.html"):
        assert told[1:] in (tmp_path / name).read_text().replace("\\", ""), name  # a sentence begins with a capital


@pytest.mark.usefixtures("undrawn")
def test_a_run_too_short_for_its_correction_says_so_in_every_format(tmp_path: Path) -> None:
    against = Reference(variant="baseline", target="ort_cpu", batch_size=1)
    speed = replace(example.speedup(3.01, "FASTER, not confirmed", against, half_width=0.2), rounds=2, p=0.21)
    rows = [example.result(0.4, found=None), example.result(0.13, found=None, speed=speed)]
    report = example.report([example.variant("baseline", rows[:1]), example.variant("fast", rows[1:])])
    write_report(report, tmp_path)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8").replace("\\", "")
        assert "FASTER, not confirmed" in text
        assert "2 rounds, p = 0.21" in text
    file = io.StringIO()
    print_report(report, Console(file=file, width=120))
    assert "2 rounds, p = 0.21" in file.getvalue()
