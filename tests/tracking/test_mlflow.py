"""Finished runs at a real tracking server."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from rich.console import Console

from pipeline.analyse import analyse, beside
from pipeline.cli import main
from pipeline.errors import SlimlineError, UserError
from pipeline.plan import MeasureSettings, Plan
from pipeline.results.record import Record
from pipeline.results.report import Recommendation, Report
from pipeline.run import loop
from pipeline.tracking.mlflow import MLflow
from tests.example import CLASSES, FEATURES, Scale, plan
from tests.ports import free_port

pytestmark = pytest.mark.slow
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # its thread changes os.environ, in the midst of what reads it
mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")

START_S = 120.0
BRIEF = MeasureSettings(
    profile="test", looks=(3,), blocks=4, cell_ms=0.5, noisy_half_width=1e9, energy_s=None, peaks=False, explain="none",
    exclusive=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a tracking server that ends with the module."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/store.db",
        "--artifacts-destination", str(folder / "artifacts"), "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=quiet)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address, process)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        assert process.poll() is None, "the server ended"
        try:
            with urlopen(f"{address}/health"):
                return
        except URLError:
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)


def decided(record: Record) -> Report:
    """The report of a run that recommends the scaled model, however busy the machine is."""
    won = Recommendation(variant="scaled", target="ort_cpu", batch_size=1, why="it won", next_best=None)
    return replace(analyse(record), recommendation=won, why_none=None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, server: str) -> tuple[Plan, str]:
    """A run that was sent, and what it printed."""
    stages = {"baseline": {}, "scaled": {"a": Scale()}, "broken": {"a": Scale(fail="it broke")}}
    chosen = plan(tmp_path_factory.mktemp("run"), stages, measure=BRIEF)
    chosen = replace(chosen, tracking=MLflow(uri=server, experiment="small"))
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beside, "analyse", decided)
        loop.run(chosen, Console(file=printed, width=200))
    return chosen, printed.getvalue()


@pytest.fixture(scope="module")
def client(server: str) -> Any:
    return mlflow.MlflowClient(server)


@pytest.fixture(scope="module")
def sent(finished: tuple[Plan, str], client: Any) -> tuple[Any, dict[str, Any]]:
    """The run at the server, and the runs below it by their names."""
    experiment = client.get_experiment_by_name("small").experiment_id
    runs = client.search_runs([experiment])
    [whole] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == whole.info.run_id]
    return whole, {run.info.run_name: run for run in below}


def test_a_run_says_where_it_can_be_seen(finished: tuple[Plan, str], sent: tuple[Any, Any], server: str) -> None:
    whole, _ = sent
    assert f"Tracked: {server}/#/experiments/{whole.info.experiment_id}/runs/{whole.info.run_id}" in finished[1]
    assert "View run" not in finished[1]


def test_the_run_has_its_settings_outcome_and_report(sent: tuple[Any, Any], client: Any) -> None:
    whole, _ = sent
    assert whole.info.run_name == "linear, arrays"
    assert (whole.data.params["model"], whole.data.params["measure.blocks"]) == ("linear", "4")
    assert whole.data.tags["recommended"] == "scaled@ort_cpu"
    assert whole.data.tags["version.onnxruntime"]
    names = {file.path for file in client.list_artifacts(whole.info.run_id)}
    assert {"report.json", "report.csv", "report.md", "report.html"} <= names


def test_each_row_has_its_figures_with_both_ends_and_its_verdicts_in_words(sent: tuple[Any, Any]) -> None:
    row = sent[1]["scaled on ort_cpu, batch 1"]
    figures = row.data.metrics
    assert figures["speedup_low"] <= figures["speedup"] <= figures["speedup_high"]
    assert figures["accuracy_low"] <= figures["accuracy"] <= figures["accuracy_high"]
    assert figures["p50_ms"] > 0
    assert row.data.tags["speedup_verdict"]
    assert (row.data.params["chain"], row.data.params["a.by"]) == ("a", "2.0")
    assert row.info.status == "FINISHED"


def test_a_row_that_failed_failed_there_too(sent: tuple[Any, Any]) -> None:
    row = sent[1]["broken on ort_cpu, batch 1"]
    assert row.info.status == "FAILED"
    assert row.data.tags["reason"] == "a: RuntimeError: it broke"


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # MLflow's own, as it loads a model
def test_the_model_is_there_in_mlflows_onnx_flavour_and_computes_what_was_measured(
    finished: tuple[Plan, str], sent: tuple[Any, Any], server: str, client: Any
) -> None:
    whole, _ = sent
    files = {file.path for file in client.list_artifacts(whole.info.run_id, "deploy/scaled")}
    assert "deploy/scaled/manifest.json" in files
    mlflow.set_tracking_uri(server)
    [found] = client.search_logged_models([whole.info.experiment_id])
    model = mlflow.pyfunc.load_model(found.model_uri)
    inputs = np.ones((2, FEATURES), np.float32)
    weights = np.random.default_rng(0).normal(size=(FEATURES, CLASSES)).astype(np.float32)
    np.testing.assert_allclose(model.predict({"x": inputs})["y"], 2 * inputs @ weights, rtol=1e-5)
    assert model.metadata.signature.inputs.input_names() == ["x"]


def test_a_finished_run_can_be_sent_later(
    finished: tuple[Plan, str], server: str, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = finished[0].output / "samples"
    shutil.copytree(samples, samples / "nodes" / "edge")
    words = [f"tracking.uri={server}", "tracking.experiment=later", "tracking.bundle=false", "tracking.run_name=again"]
    with pytest.raises(SystemExit) as ended:
        main(["track", str(finished[0].output), *words])
    assert ended.value.code == 0
    assert f"Tracked: {server}/#/experiments/" in capsys.readouterr().out
    runs = client.search_runs([client.get_experiment_by_name("later").experiment_id])
    assert {run.info.run_name for run in runs} >= {
        "again", "baseline on ort_cpu, batch 1", "baseline on ort_cpu@edge, batch 1",
    }  # fmt: skip


def test_a_server_that_does_not_answer_is_said_before_any_work(tmp_path: Path) -> None:
    away = MLflow(uri=f"http://me:secret@127.0.0.1:{free_port()}")
    chosen = replace(plan(tmp_path, {"baseline": {}}, measure=BRIEF), tracking=away)
    with pytest.raises(UserError, match=r"tracking: nobody answers at http://127\.0\.0\.1:\d+ \(") as caught:
        loop.run(chosen, Console(file=io.StringIO()))
    assert "secret" not in str(caught.value)
    assert not chosen.store.folder.exists(), "nothing was built"


def test_a_server_that_goes_away_costs_the_run_nothing_and_the_words_to_send_it_are_said(
    finished: tuple[Plan, str],
) -> None:
    run = finished[0].output
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(SlimlineError, match=f"send it again: python -m pipeline track {run} tracking.uri={uri}"):
        MLflow(uri=uri).track(run)
