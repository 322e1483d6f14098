"""The steps of a whole call in a run: which rows and steps have times, and that the record keeps them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.data.preprocessing import Preprocessing
from pipeline.metrics import TopOne
from pipeline.metrics.postprocessed import behind
from pipeline.postprocessing.softmax import Softmax
from pipeline.results.reading import load_record
from pipeline.results.record import SAMPLES
from pipeline.run import loop
from pipeline.zoo.source import OnnxModel
from tests.example import linear_model, plan

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("undrawn")
def test_a_run_times_the_steps_that_there_are(tmp_path: Path, store: Path) -> None:
    path = linear_model(tmp_path / "linear.onnx")
    chosen = plan(tmp_path, {"baseline": {}}, store=store, batch_sizes=(8,), metric=behind(Softmax(), TopOne()))
    chosen = replace(
        chosen,
        model=OnnxModel(path=path, preprocessing={"x": Preprocessing(scale=2.0)}),
        measure=replace(chosen.measure, stages=("decode", "preprocess", "model", "postprocess")),
    )
    printed = io.StringIO()
    assert loop.run(chosen, Console(file=printed, width=120)) == 0
    assert "no such step that can be: decode." in printed.getvalue()
    report = json.loads((chosen.output / "report.json").read_text())
    [row] = report["variants"][0]["results"]
    assert [step["step"] for step in row["call"]["steps"]] == ["preprocess", "model", "postprocess"]
    recorded = load_record(chosen.output / SAMPLES)
    assert recorded.subjects[0].call is not None
    assert len(recorded.subjects[0].call.rounds_ms) == 3
