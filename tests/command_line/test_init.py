"""``init`` writes an experiment that a run takes as it is."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.command_line.arguments import NAMES
from pipeline.command_line.init import init
from tests.command_line.typing import run, write_model_and_data
from tests.example import linear_model


@pytest.fixture(autouse=True)
def _written(elsewhere: None) -> None:
    write_model_and_data("my model.onnx")


def written(*typed: str) -> tuple[str, dict[str, Any]]:
    text = init(typed, NAMES, list).file.read_text()
    found: dict[str, Any] = yaml.safe_load(text)
    return text, found


def chosen(found: dict[str, Any]) -> dict[str, Any]:
    entries = [entry for entry in found["defaults"] if isinstance(entry, dict)]
    return {key.removeprefix("override /"): value for entry in entries for key, value in entry.items()}


def test_the_file_holds_what_was_typed_and_the_usual_choices_with_what_they_are() -> None:
    text, found = written(
        "my model.onnx", "d.npz", "data.test_size=9", "constraints.max_size_mb=3", "measure=quick",
        "model.preprocessing.x.scale=2",
    )  # fmt: skip
    assert found["model"] == {"path": str(Path("my model.onnx").absolute()), "preprocessing": {"x": {"scale": 2}}}
    assert found["data"] == {"path": str(Path("d.npz").absolute()), "test_size": 9}
    groups = chosen(found)
    assert (groups["model"], groups["data"], groups["measure"]) == ("onnx", "npz", "quick")
    assert groups["variant"][:3] == ["baseline", "dynamic_int8", "static_int8"]
    assert (groups["target"], "fp16" in groups["variant"]) == (["ort_cpu"], False)
    assert found["defaults"][-1] == "_self_"
    assert found["constraints"]["max_size_mb"] == 3
    assert found["constraints"]["max_latency_ms"] is None
    assert (
        "      # Weights and activations in int8, with ranges from the calibration split.\n      - static_int8\n"
        in text
    )
    assert "      # On a GPU: Half precision.\n      # - fp16\n" in text
    assert "  max_latency_ms: null # p50" in text


@pytest.mark.parametrize("installed", [True, False])
def test_what_prunes_is_chosen_where_the_model_can_be_read(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.command_line.init.find_spec", lambda name: "here" if installed else None)
    text, found = written("my model.onnx", "d.npz")
    assert ("pruned" in chosen(found)["variant"]) == installed
    assert ("# With onnx2pytorch installed (the extra onnx-training): " in text) == (not installed)
    assert "pruned" in chosen(written("fashion_resnet")[1])["variant"]


def test_without_data_outputs_are_compared_and_a_choice_of_the_users_wins() -> None:
    _, found = written("fashion_resnet", "target=[torch_cpu]", "variant=[baseline]", "--name", "mine")
    groups = chosen(found)
    assert (groups["model"], groups["target"], groups["variant"]) == ("fashion_resnet", ["torch_cpu"], ["baseline"])
    assert Path("conf/experiment/mine.yaml").is_file()


@pytest.mark.slow
def test_the_command_that_is_printed_is_a_run_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    for data, name in (("d.npz", "labelled"), (None, "random")):
        typed = ["my model.onnx", *([data] if data else []), "--to", "a b", "--name", name]
        code, out, error = run(capsys, "init", *typed)
        assert (code, error) == (0, "")
        file, _, _, line = out.splitlines()
        assert file == f"wrote a b/conf/experiment/{name}.yaml"
        python, dash, package, *words = shlex.split(line)
        assert (python, dash, package, words[:2]) == ("python", "-m", "pipeline", ["--config-dir", "a b/conf"])
        code, out, error = run(capsys, "plan", *words, "--json")
        assert (code, error) == (0, "")
        rows = json.loads(out)["rows"]
        assert [row["variant"] for row in rows][:3] == ["baseline", "dynamic_int8", "static_int8"]
        assert {row["target"] for row in rows} == {"ort_cpu"}


def test_an_experiment_is_named_after_its_model(capsys: pytest.CaptureFixture[str]) -> None:
    linear_model(Path("best.onnx"))
    assert init(["my model.onnx"], NAMES, list).file == Path("conf/experiment/my_model.yaml")
    assert init(["best.onnx"], NAMES, list).file == Path("conf/experiment/my_best.yaml")
    code, out, error = run(capsys, "init", "best.onnx")
    assert (code, out) == (2, "")
    assert error.startswith("slimline: conf/experiment/my_best.yaml exists already, and nothing is overwritten")


MISTAKES = [
    (["no.onnx"], "no.onnx does not exist"),
    (["my model.onnx", "--name", "best"], "--name best: an experiment of this name ships with slimline: type my_best"),
    (["my model.onnx", "--name", "a b"], "--name a b: it is to be letters"),
    (["my model.onnx", "--multirun"], "--multirun can't be given here"),
    (["my model.onnx", "experiment=best"], "experiment=best can't be written into an experiment"),
    (["my model.onnx", "seed=1,2"], "seed has several values"),
    (["my model.onnx", "nope=1"], "nope does not exist; available: data, debug"),
    (["my model.onnx", "model.nope=1"], "model.nope does not exist; available: path, preprocessing"),
    (["my model.onnx", "variant=[nope]"], "'nope' does not exist; available in 'variant': "),
    (["my model.onnx", "constraints.nope=1"], "constraints.nope does not exist; available: min_speedup, "),
]


@pytest.mark.parametrize(("typed", "says"), MISTAKES, ids=[" ".join(typed) for typed, _ in MISTAKES])
def test_a_mistake_gets_one_line_and_nothing_is_written(
    typed: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = run(capsys, "init", *typed)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"slimline: {says}")
    assert not Path("conf").exists()
