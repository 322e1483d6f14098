"""A metric of the user's own: a class on the Python path and a YAML, and nothing else."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from pipeline.report import report_schema
from pipeline.results.reading import load_record
from pipeline.run import loop
from tests.example import FEATURES, linear_model

CLASS = """
from dataclasses import dataclass
from typing import ClassVar

from pipeline.metrics import Overall


@dataclass(frozen=True)
class OwnF1:
    name: ClassVar[str] = "own F1"
    positive: int = 1

    def predictions(self, outputs):
        return outputs[0].argmax(axis=1)

    @property
    def judging(self):
        return Overall(figure=self.f1, unit="number")

    def f1(self, predictions, labels):
        told, true = predictions == self.positive, labels == self.positive
        return 2 * (told & true).sum() / max(told.sum() + true.sum(), 1)
"""
YAML = "_target_: own_metrics.OwnF1\npositive: 2\n"
TYPED = (
    "model=onnx", "model.path=model.onnx", "data=npz", "data.path=data.npz", "metric=own_f1",
    "variant=[baseline,dynamic_int8]", "measure=quick", "measure.looks=[3]", "measure.blocks=4", "measure.cell_ms=0.5",
    "measure.explain=none", "measure.energy_s=null", "measure.peaks=false", "measure.exclusive=false",
    "constraints.max_size_mb=1e-6", "hydra.run.dir=run", "store.path=store",
)  # fmt: skip


def _slimline(folder: Path, *typed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *typed], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "160"},
    )  # fmt: skip


def _f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    told, true = predictions == 2, labels == 2
    precision, recall = (told & true).sum() / told.sum(), (told & true).sum() / true.sum()
    return float(2 * precision * recall / (precision + recall))


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_new_metric_is_a_class_and_a_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_metrics.py").write_text(CLASS)
    (tmp_path / "conf" / "metric").mkdir(parents=True)
    (tmp_path / "conf" / "metric" / "own_f1.yaml").write_text(YAML)
    linear_model(tmp_path / "model.onnx")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, FEATURES)).astype(np.float32)
    weight = np.random.default_rng(0).normal(size=(FEATURES, 3)).astype(np.float32)
    labels = (x @ weight + rng.normal(size=(2000, 3))).argmax(axis=1)
    np.savez(tmp_path / "data.npz", x=x, labels=labels)

    ended = _slimline(tmp_path, "--config-dir", "conf", *TYPED)
    assert ended.returncode == 0, ended.stdout + ended.stderr

    run = tmp_path / "run"
    report: dict[str, Any] = json.loads((run / "report.json").read_text())
    jsonschema.validate(report, report_schema())
    samples = load_record(run / "samples").accuracy
    assert (samples.metric_class, samples.metric_fields) == ("own_metrics.OwnF1", {"positive": 2})
    assert samples.labels is not None
    before, after = (
        _f1(samples.predictions[f"{name}@ort_cpu"], samples.labels) for name in ("baseline", "dynamic_int8")
    )
    baseline, found = (variant["results"][0]["accuracy"] for variant in report["variants"])
    assert baseline["value"] == pytest.approx(before)
    assert found["value"] == pytest.approx(after)
    assert found["delta"] == pytest.approx(after - before)
    assert found["low"] < found["value"] < found["high"]
    assert found["delta_low"] < found["delta"] < found["delta_high"]
    assert (found["metric"], found["unit"], found["against"]) == ("own F1", "number", "labels")
    assert found["verdict"] in {"UNDECIDED", "NO MEANINGFUL DROP", "SMALL REAL DROP", "DROP"}
    for text in ((run / "report.md").read_text(), (run / "report.html").read_text(), ended.stdout):
        assert "own F1" in text
        assert f"{after:.4f}" in text
        assert f"{100 * after:.2f} %" not in text

    monkeypatch.syspath_prepend(tmp_path)
    assert loop.report(run, Console(file=io.StringIO())) == 0
    assert json.loads((run / "report.json").read_text()) == report

    (tmp_path / "own_metrics.py").unlink()
    monkeypatch.delitem(sys.modules, "own_metrics")
    loop.report(run, Console(file=io.StringIO()))
    [fault] = json.loads((run / "report.json").read_text())["faults"]
    assert fault.startswith("accuracy could not be made: predictions were judged by own_metrics.OwnF1")
