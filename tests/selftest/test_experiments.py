import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pipeline.artifact import Artifact
from pipeline.errors import UserError
from pipeline.measure.latency import Measured
from pipeline.measure.probe import probe_feed, write_probe
from pipeline.results.record import LatencySamples, save_record
from pipeline.selftest import experiments
from pipeline.selftest.experiments import Models, Setting, cells, models_of, rewarm, run_experiment
from tests.analyse.synthetic import Made, make_record


@pytest.fixture
def models(tmp_path: Path) -> Models:
    probe = write_probe(tmp_path / "probe")
    return Models(artifacts={"baseline": probe, "copy": probe}, feed=probe_feed())


def silent(done: float, text: str) -> None: ...


def test_the_first_calls_of_a_visit_are_told_from_the_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    durations = np.tile(np.array([130, 110, 100, 100, 100, 100], np.int64) * 1000, 25)
    samples = LatencySamples(
        subjects=["baseline@ort_cpu/1"],
        subject=np.zeros(150, np.int32),
        round=np.zeros(150, np.int32),
        block=np.repeat(np.arange(25, dtype=np.int32), 6),
        position=np.zeros(150, np.int32),
        duration_ns=durations,
        telemetry=[],
        rounds=1,
        stopped="cap",
        seconds=1.0,
    )
    measured = Measured(samples=samples, times={}, failures={})
    monkeypatch.setattr(experiments, "measure_latency", lambda *_, **__: measured)
    (line,) = rewarm(Models(artifacts={}, feed={}), 1, silent)
    assert line == "baseline@ort_cpu/1 (0.10 ms): +30.0 %, +10.0 %, +0.0 %, +0.0 %, +0.0 %, +0.0 %"


def test_every_setting_is_timed_in_turn(models: Models) -> None:
    lines = cells(models, 2, silent, [Setting(1.0, 0.5, 4), Setting(2.0, 0.5, 4, None)])
    assert len(lines) == 2
    assert lines[1].startswith("cells of 2 ms after 0.5 ms untimed, 4 blocks, long calls as short ones: ")
    assert all(
        re.search(r"\d+ % inside timed calls; after a minute clone ±[\d.]+ %, copy ±[\d.]+ %", line) for line in lines
    )


def test_an_experiment_takes_the_variants_that_a_run_left_in_the_store(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record(Made(name="other"), Made(name="gone"))
    places = {"baseline": models.artifacts["baseline"].path, "other": models.artifacts["copy"].path, "gone": tmp_path}
    variants = [replace(item, format="onnx", path=str(places[item.name])) for item in record.variants]
    save_record(replace(record, variants=variants), tmp_path / "run" / "samples")
    found = models_of(tmp_path / "run")
    assert list(found.artifacts) == ["baseline", "other"]
    assert found.feed["image"].shape == (1, 1, 28, 28)
    assert isinstance(found.artifacts["other"], Artifact)
    monkeypatch.setitem(experiments.EXPERIMENTS, "cells", lambda *_: ["a line"])
    said = StringIO()
    assert run_experiment("cells", tmp_path / "run", 3, Console(file=said)) == 0
    assert said.getvalue().splitlines()[-1] == "a line"


def test_a_folder_that_is_no_run_gets_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a finished run"):
        models_of(tmp_path)


def test_a_run_whose_models_are_gone_gets_a_line(tmp_path: Path) -> None:
    save_record(make_record(Made(name="other")), tmp_path / "samples")
    with pytest.raises(UserError, match="no variants left in the store"):
        models_of(tmp_path)
