"""A kit has the models, inputs and program that a machine needs to measure them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.kit.pack import pack
from pipeline.kit.single import write_single
from pipeline.results.reading import load_record
from tests.bundle import example as bundled
from tests.kit import example
from tests.kit.conftest import Ran


def test_each_row_has_a_model_and_golden_outputs_where_it_runs_here(ran: Ran) -> None:
    rows = {row["variant"]: row for row in json.loads((ran.folder / "kit" / "kit.json").read_text())["rows"]}
    assert rows.keys() == {"baseline", "dynamic_int8", "unknown"}
    assert {row["reference"] for row in rows.values()} == {"baseline@ort_cpu/4"}
    assert rows["unknown"]["golden"] is None
    golden = np.load(ran.folder / "kit" / rows["baseline"]["golden"] / "0.npy")
    assert golden.shape == (16, 3)
    assert (ran.folder / "kit" / rows["dynamic_int8"]["model"]).is_file()


def test_home_keeps_the_labels_and_no_samples_of_the_run(ran: Ran) -> None:
    home = load_record(ran.folder / "kit" / "home")
    assert home.accuracy.labels is not None
    assert len(home.accuracy.labels) == ran.packed.examples
    assert not home.accuracy.predictions
    assert not home.latency.subjects


def test_fewer_examples_go_along_where_they_are_typed(tmp_path: Path) -> None:
    made = example.artifacts(tmp_path)
    run = example.record(made)
    kept = [model for model in example.models(run, made) if model.row.variant == "baseline"]
    packed = pack(tmp_path / "kit", run, kept, example.judged(examples=20))
    assert packed.examples == 20
    places = json.loads((tmp_path / "kit" / "kit.json").read_text())["places"]
    assert places[:16] == list(range(16))
    assert len(set(places)) == 20


def test_a_row_that_a_kit_can_not_time_is_left_out_with_its_reason(tmp_path: Path) -> None:
    made = example.artifacts(tmp_path)
    run = example.record(made)
    on_a_card = [replace(model, target=replace(bundled.TARGET, device="cuda")) for model in example.models(run, made)]
    with pytest.raises(UserError, match="a kit measures on processors only"):
        pack(tmp_path / "kit", run, on_a_card, example.judged())


def test_it_replaces_nothing_but_a_kit(tmp_path: Path) -> None:
    made = example.artifacts(tmp_path)
    run = example.record(made)
    (tmp_path / "notes").mkdir()
    with pytest.raises(UserError, match="exists and is no kit: name another folder with --out"):
        pack(tmp_path / "notes", run, example.models(run, made), example.judged())


def test_a_single_file_runs_by_itself_and_leaves_nothing(ran: Ran, tmp_path: Path) -> None:
    shutil.copytree(ran.folder / "kit", tmp_path / "kit")
    out, temporary = tmp_path / "kit.pyz", tmp_path / "temporary"
    temporary.mkdir()
    write_single(tmp_path / "kit", out)
    words = [sys.executable, "-I", str(out), "--help"]
    said = subprocess.run(words, env={"TMPDIR": str(temporary)}, capture_output=True, text=True, check=True)
    assert "Measure the models in this kit on this machine" in said.stdout
    assert not any(temporary.iterdir())
    assert not (tmp_path / "kit").exists()
