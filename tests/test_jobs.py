"""Sweeps: what Hydra's launchers run, and the report at their end."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.folders.outputs import MadeOnce, new_folder
from pipeline.jobs import Task
from pipeline.report.charts.figures import Drawing
from pipeline.sweep import chart, outcome
from tests.example import FEATURES, linear_model

CHEAP = (
    *("measure=quick", "measure.explain=none", "measure.peaks=false", "measure.energy_s=null", "measure.probe=false"),
    *("measure.looks=[3]", "measure.blocks=4", "measure.cell_ms=0.5"),
)
Sweep = Callable[..., int]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrawn: None) -> Sweep:
    """Types a multirun in a folder of its own; returns its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["slimline"])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.setattr(chart, "draw_apart", lambda found: Drawing(figures=[]))

    def typed(*words: str) -> int:
        with pytest.raises(SystemExit) as caught:
            main(["--multirun", "hydra.sweep.dir=sweep", "model=onnx", "data=npz", "data.path=data.npz", *words])
        assert isinstance(caught.value.code, int)
        return caught.value.code

    return typed


@pytest.mark.slow
def test_a_multirun_ends_with_a_report_of_its_jobs_and_the_worst_exit_code(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    linear_model(Path("there.onnx"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, FEATURES)).astype(np.float32)
    np.savez("data.npz", x=x, labels=rng.integers(0, 3, 600))
    code = sweep("model.path=there.onnx,missing.onnx", "variant=[baseline]", "target=[ort_cpu]", *CHEAP)
    found = json.loads(Path("sweep/sweep.json").read_text())
    assert code == 2
    assert [job["status"] for job in found["jobs"]] == ["ok", "failed"]
    assert found["jobs"][0]["rows"][0]["p50_ms"]["value"] > 0
    assert "missing.onnx does not exist" in found["jobs"][1]["reason"]
    printed = capsys.readouterr().out
    assert "2 jobs over model.path (2)" in printed
    assert "Report: sweep/sweep.html" in printed


@pytest.fixture
def joblib() -> Iterator[None]:
    """Joblib keeps its processes for the next call; the tests that come after need none."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    loky = pytest.importorskip("joblib.externals.loky")
    yield
    loky.get_reusable_executor().shutdown(wait=True)


@pytest.mark.slow
def test_the_exit_code_of_a_job_in_another_process_comes_back(sweep: Sweep, joblib: None) -> None:
    assert sweep("model.path=no.onnx", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2") == 2
    [job] = json.loads(Path("sweep/sweep.json").read_text())["jobs"]
    assert job["exit_code"] == 2
    assert "no.onnx does not exist" in job["reason"]
    assert "no.onnx does not exist" in Path("sweep/0/terminal.txt").read_text()


def test_a_sweep_whose_jobs_can_not_be_composed_has_no_report(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("metric=top_one,nope") == 2
    error = capsys.readouterr().err
    assert "'nope' does not exist; available in 'metric'" in error
    assert "the jobs so far" not in error


def test_a_copy_in_another_process_writes_into_the_folder_that_was_made(tmp_path: Path) -> None:
    folders = MadeOnce(make=new_folder)
    made = folders(str(tmp_path / "run"))
    assert pickle.loads(pickle.dumps(folders))(str(tmp_path / "run")) == made
    assert MadeOnce(make=new_folder)(str(tmp_path / "run")) == f"{made}-2"


def test_the_task_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Task(["--config-dir", "conf"], home=1))).flags == ["--config-dir", "conf"]


def test_a_jobs_folder_tells_how_it_ended(tmp_path: Path) -> None:
    with outcome.noting(tmp_path, "python -m pipeline") as codes:
        assert outcome.read(tmp_path) == outcome.Outcome(command="python -m pipeline")
        codes.append(1)
    assert outcome.read(tmp_path) == outcome.Outcome(command="python -m pipeline", exit_code=1)


def test_a_job_that_was_stopped_tells_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), outcome.noting(tmp_path, "c"):
        raise KeyboardInterrupt
    assert outcome.read(tmp_path) == outcome.Outcome(command="c", exit_code=130, reason="it was stopped")


def test_an_outcome_that_can_not_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / outcome.FILE).write_text('{"command": 3, "exit_code": "x", "reason": null}')
    assert outcome.read(tmp_path) is None
