"""A stage, a backend and a data set of the user's own: for each a class in one file and a YAML, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.report import report_schema
from pipeline.results.reading import load_record
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
YAMLS: Mapping[str, str] = {
    "stage/rounded.yaml": "_target_: own_stage.Rounded\nstep: 0.25\n",
    "target/reference.yaml": "# @package target.reference\n_target_: pipeline.plan.Target\n"
    "backend: {_target_: own_backend.Reference}\ndevice: cpu\nthreads: 1\nsession: {}\n",
    "data/blobs.yaml": "_target_: own_data.Blobs\nexamples: 300\n",
}
TYPED = (
    "model=onnx", "model.path=model.onnx", "data=blobs", "data.examples=200", "target=[ort_cpu,reference]",
    "variant=[baseline,dynamic_int8]", "stage@variants.dynamic_int8.stages.quantize=rounded",
    "measure=quick", "measure.looks=[3]", "measure.blocks=4", "measure.cell_ms=0.5", "measure.explain=none",
    "measure.energy_s=null", "measure.peaks=false", "measure.exclusive=false",
    "constraints.max_size_mb=1e-6", "hydra.run.dir=run", "store.path=store",
)  # fmt: skip


def _slimline(folder: Path, *typed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "--config-dir", "conf", *TYPED, *typed],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "COLUMNS": "160"},
    )  # fmt: skip


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    for name, text in {"own_stage.py": STAGE, "own_backend.py": BACKEND, "own_data.py": DATA}.items():
        (tmp_path / name).write_text(text)
    for name, text in YAMLS.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    linear_model(tmp_path / "model.onnx")
    return tmp_path


@pytest.mark.slow
def test_a_stage_a_backend_and_a_data_set_are_a_class_and_a_yaml_each(folder: Path) -> None:
    ended = _slimline(folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr

    report: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
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
    assert len(here) == 200
    assert (here == there).mean() > 0.99
    assert rows["dynamic_int8", "reference"]["speedup"] is not None
    for text in ((folder / "run" / "report.md").read_text(), ended.stdout):
        assert "blobs" in text
        assert "reference" in text


@pytest.mark.slow
def test_what_is_wrong_with_each_is_told_together_with_the_rest(folder: Path) -> None:
    wrong = {
        "variants.dynamic_int8.stages.quantize.step=-1": "quantize: step must be above 0 (got -1",
        "data.nope=1": "data.nope does not exist; available: examples",
        "target.reference.threads=0": "target.reference.threads must be at least 1 (got 0)",
    }
    ended = _slimline(folder, *wrong)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    for line in wrong.values():
        assert line in ended.stderr
