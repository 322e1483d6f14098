"""A stage, a backend, a data set and a metric of the user's own: for each a class in one file and a YAML, and nothing
else. They lie in the working directory, or come from a distribution that is installed."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from pipeline.cli import main
from pipeline.report import report_schema
from pipeline.report.charts import figures as charts
from pipeline.results.reading import load_record
from pipeline.run import loop
from tests.command_line.typing import run
from tests.example import linear_model

STAGE = '''
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounded:
    """Round the weights to multiples of ``step``."""

    step: float = 0.25

    accepts = frozenset({"onnx"})
    produces = "onnx"
    version = 1
    reads = frozenset()
    libraries = ("onnx",)
    tolerance = None

    def __post_init__(self):
        if self.step <= 0:
            raise ValueError(f"step must be above 0 (got {self.step})")

    def __call__(self, source, out, context):
        model = onnx.load(source.onnx_path)
        for weight in model.graph.initializer:
            array = numpy_helper.to_array(weight)
            rounded = (np.rint(array / self.step) * self.step).astype(array.dtype)
            weight.CopyFrom(numpy_helper.from_array(rounded, weight.name))
        onnx.save(model, out / "model.onnx")
        context.note("step", self.step)
'''
BACKEND = '''
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """ONNX's own evaluator, which is made of NumPy."""

    name = "onnx_reference"
    runs = frozenset({"onnx"})
    forkable = True

    def check(self, target):
        pass

    def preload(self, target):
        import onnx.reference

    def load(self, artifact, target):
        import onnx.reference

        evaluator = onnx.reference.ReferenceEvaluator(str(artifact.onnx_path))
        return lambda feed: evaluator.run(None, dict(feed))
'''
DATA = '''
from dataclasses import dataclass

import numpy as np

from pipeline.data.dataset import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Blobs:
    """Three clouds of points."""

    examples: int = 300
    name = "blobs"
    calibration_size = 64
    class_names = ("left", "middle", "right")

    def split(self, name):
        rng = np.random.default_rng(["train", "validation", "calibration", "test"].index(name))
        labels = rng.integers(0, 3, self.examples)
        x = rng.normal(size=(self.examples, 8)) + labels[:, None]
        return Split({"x": x.astype(np.float32)}, labels)
'''
METRIC = """
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
YAMLS: Mapping[str, str] = {
    "stage/rounded.yaml": "_target_: own_stage.Rounded\nstep: 0.25\n",
    "target/reference.yaml": "# @package target.reference\n_target_: pipeline.plan.Target\n"
    "backend: {_target_: own_backend.Reference}\ndevice: cpu\nthreads: 1\nsession: {}\n",
    "data/blobs.yaml": "_target_: own_data.Blobs\nexamples: 300\n",
    "metric/own_f1.yaml": "_target_: own_metrics.OwnF1\npositive: 2\n",
}
SITE = "site"
TYPED = (
    "model=onnx", "model.path=model.onnx", "data=blobs", "data.examples=2000", "metric=own_f1",
    "target=[ort_cpu,reference]",
    "variant=[baseline,dynamic_int8]", "stage@variants.dynamic_int8.stages.quantize=rounded",
    "measure=quick", "measure.looks=[3]", "measure.blocks=4", "measure.cell_ms=0.5", "measure.explain=none",
    "measure.energy_s=null", "measure.peaks=false", "measure.exclusive=false",
    "constraints.max_size_mb=1e-6", "hydra.run.dir=run", "store.path=store",
)  # fmt: skip


FILES = {"own_stage.py": STAGE, "own_backend.py": BACKEND, "own_data.py": DATA, "own_metrics.py": METRIC}


def _slimline(folder: Path, *typed: str) -> tuple[Any, str, str]:
    """The exit code of a command in the folder, and what it prints on both streams; there are no charts."""
    out, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(error):
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.syspath_prepend(folder / SITE)
        patch.setenv("COLUMNS", "160")
        patch.setattr(sys, "argv", ["slimline"])
        patch.setattr(charts, "draw_apart", lambda report: charts.Drawing(figures=[]))
        with pytest.raises(SystemExit) as ended:
            main(list(typed))
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]
    return ended.value.code, out.getvalue(), error.getvalue()


def _written(folder: Path, conf: str) -> None:
    for name, text in {**FILES, **{f"{conf}/{name}": text for name, text in YAMLS.items()}}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _installed(site: Path, package: str) -> None:
    """Put the four into a distribution, as pip leaves it; ``package`` is what its entry point names."""
    _written(site, "own_conf")
    info = site / "own_additions-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-additions\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[slimline.conf]\nown = {package}\n")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    linear_model(tmp_path / "model.onnx")
    return tmp_path


@pytest.fixture(name="ran", scope="module")
def _ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a run of all four, from a distribution in its folder ``site``, and what it printed."""
    folder = tmp_path_factory.mktemp("additions")
    linear_model(folder / "model.onnx")
    _installed(folder / SITE, "own_conf")
    code, printed, error = _slimline(folder, *TYPED)
    assert code == 0, printed + error
    return folder, printed


def _report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
    return report


@pytest.mark.slow
def test_a_stage_a_backend_and_a_data_set_are_a_class_and_a_yaml_each(ran: tuple[Path, str]) -> None:
    folder, printed = ran
    report = _report(folder)
    jsonschema.validate(report, report_schema())
    rows = {(variant["name"], row["target"]): row for variant in report["variants"] for row in variant["results"]}
    assert {(name, row["status"]) for name, row in rows.items()} == {
        ((variant, target), "ok") for variant in ("baseline", "dynamic_int8") for target in ("ort_cpu", "reference")
    }

    stage = next(stage for stage in report["variants"][1]["stages"] if stage["name"] == "quantize")
    assert (stage["kind"], stage["fields"], stage["role"]) == ("Rounded", {"step": 0.25}, None)
    assert stage["notes"]["step"] == 0.25
    assert stage["notes"]["drift"]["sqnr_db"] > 10, "the output was checked against its source"

    record = load_record(folder / "run" / "samples")
    assert record.targets["reference"].backend == "onnx_reference"
    assert record.data == "blobs"
    here, there = (record.accuracy.predictions[f"baseline@{target}"] for target in ("ort_cpu", "reference"))
    assert len(here) == 2000
    assert (here == there).mean() > 0.99
    assert rows["dynamic_int8", "reference"]["speedup"] is not None
    for text in ((folder / "run" / "report.md").read_text(), printed):
        assert "blobs" in text
        assert "reference" in text


def _f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    told, true = predictions == 2, labels == 2
    precision, recall = (told & true).sum() / told.sum(), (told & true).sum() / true.sum()
    return float(2 * precision * recall / (precision + recall))


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_a_metric_is_a_class_and_a_yaml(ran: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, printed = ran
    run, report = folder / "run", _report(folder)
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
    assert found["verdict"] in {"UNDECIDED", "NO MEANINGFUL DROP", "SMALL REAL DROP", "DROP", "FAILS MARGIN"}
    for text in ((run / "report.md").read_text(), (run / "report.html").read_text(), printed):
        assert "own F1" in text
        assert f"{after:.4f}" in text
        assert f"{100 * after:.2f} %" not in text

    monkeypatch.syspath_prepend(folder / SITE)
    assert loop.report(run, Console(file=io.StringIO())) == 0
    assert _report(folder) == report

    (folder / SITE / "own_metrics.py").rename(folder / "elsewhere.py")
    monkeypatch.delitem(sys.modules, "own_metrics")
    loop.report(run, Console(file=io.StringIO()))
    [fault] = _report(folder)["faults"]
    assert fault.startswith("accuracy could not be made: predictions were judged by own_metrics.OwnF1")


@pytest.mark.slow
def test_what_is_wrong_with_each_is_told_together_with_the_rest(folder: Path) -> None:
    wrong = {
        "variants.dynamic_int8.stages.quantize.step=-1": "quantize: step must be above 0 (got -1",
        "data.nope=1": "data.nope does not exist; available: examples",
        "target.reference.threads=0": "target.reference.threads must be at least 1 (got 0)",
    }
    _written(folder, "conf")
    code, _, error = _slimline(folder, "--config-dir", "conf", *TYPED, *wrong)
    assert code == 2
    assert "Traceback" not in error
    for line in wrong.values():
        assert line in error


@pytest.mark.slow
def test_what_an_installed_distribution_brings_is_listed_and_one_that_is_broken_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(folder / SITE)
    _installed(folder / SITE, "own_conf")
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("metric: ") and "own_f1" in line]

    monkeypatch.syspath_prepend(folder / "other")
    _installed(folder / "other", "no_conf")
    (folder / SITE / "own_additions-1.0.dist-info" / "METADATA").unlink()
    code, _, error = run(capsys, "measure=quick")
    assert (code, error.count("\n")) == (2, 1)
    assert error.startswith("slimline: the plug-in own-additions names the package no_conf with its configurations")
