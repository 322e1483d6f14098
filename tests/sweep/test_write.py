"""The files of a sweep's report, and what is typed for them."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from pipeline.cli import main
from pipeline.report.charts.figures import Drawing
from pipeline.report.formats.json import json_text
from pipeline.results.sweep import Sweep
from pipeline.sweep import write
from pipeline.sweep.chart import speedup_panel
from pipeline.sweep.csv import csv_text
from pipeline.sweep.schema import sweep_schema
from tests.sweep.example import INT8, add_job, of_models, of_seeds, read, record, sweep_folder

ODD = "<b>{{ 7 * 7 }}\x1b[31m|`"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    sweep = of_seeds(tmp_path_factory.mktemp("sweep") / "sweep", seeds=2)
    (sweep / "3" / "samples" / "record.json").unlink()
    return read(sweep)


def printed(found: Sweep, width: int = 120) -> str:
    file = io.StringIO()
    write.print_sweep(found, Console(file=file, width=width))
    return file.getvalue()


def test_sweep_json_keeps_to_its_schema(found: Sweep) -> None:
    values = json.loads(json_text(found))
    jsonschema.Draft202012Validator(sweep_schema()).validate(values)
    assert values["schema_version"] == 1


def test_sweep_csv_has_a_line_for_each_row_of_each_job(found: Sweep) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert len(lines) == sum(len(job.rows) or 1 for job in found.jobs)
    assert {line["set:seed"] for line in lines} == {"0", "1"}
    fast = next(line for line in lines if line["variant"] == "int8")
    assert fast["recommended"] == "true"
    assert float(fast["speedup_low"]) < float(fast["speedup"]) < float(fast["speedup_high"])
    assert lines[-1]["job_status"] == "failed"


def test_the_terminal_tells_the_jobs_and_how_to_repeat_what_failed(found: Sweep) -> None:
    text = printed(found)
    assert "4 jobs over model (2) x seed (2)" in text
    assert "int8 on ort_cpu" in text
    assert "To run job 3 again: python -m pipeline model=b seed=1 hydra.run.dir=" in text


def test_a_narrow_terminal_says_what_it_leaves_out(found: Sweep) -> None:
    text = printed(found, width=60)
    assert max(len(line) for line in text.splitlines() if not line.startswith("To run")) <= 60
    assert "Left out at 60 columns" in text


def test_markdown_and_the_page_have_every_job(found: Sweep) -> None:
    page = write.html_text(found, Drawing(figures=[]))
    for text in (write.markdown_text(found), page):
        assert "Where a chain wins" in text
        assert "Over seeds" in text
        assert "hydra.run.dir=" in text
    assert 'href="0/report.html"' in page


def test_nothing_that_was_typed_becomes_markup(tmp_path: Path) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"model": ["a"]})
    add_job(sweep, [f"model={ODD}"], record(INT8, model=ODD))
    add_job(sweep, ["model=a"], None, code=1, reason=ODD)
    found = read(sweep)
    page = write.html_text(found, Drawing(figures=[]))
    assert "<b>{{" not in page
    assert "\x1b" not in page + write.markdown_text(found) + printed(found)


def test_the_chart_has_a_mark_for_each_speed_up(found: Sweep) -> None:
    panel = speedup_panel(found)
    assert panel is not None
    assert len(panel.words.split("; ")) == 3


def test_report_takes_a_sweeps_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.sweep import chart

    monkeypatch.setattr(chart, "draw_apart", lambda found: Drawing(figures=[]))
    sweep = of_models(tmp_path / "sweep")
    assert typed(capsys, monkeypatch, "report", str(sweep)) == 0
    assert f"Report: {sweep / 'sweep.html'}" in capsys.readouterr().out.replace("\n", "")
    assert {path.name for path in sweep.glob("sweep.*")} == {"sweep.json", "sweep.csv", "sweep.md", "sweep.html"}


@pytest.mark.parametrize("words", [["--labels", "l.csv"], ["--join", "run"]])
def test_what_belongs_to_one_run_is_refused_for_a_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"model": ["a", "b"]})
    assert typed(capsys, monkeypatch, "report", str(sweep), *words) == 2


def test_a_sweep_without_a_job_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_folder(tmp_path / "sweep", {"model": ["a", "b"]})
    assert typed(capsys, monkeypatch, "report", str(sweep)) == 2
    assert "none of whose jobs has begun" in capsys.readouterr().err


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["slimline"])
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert isinstance(caught.value.code, int)
    return caught.value.code
