"""MODEL and DATA become a run of every chain on every target, which is only looked at."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from pipeline.command_line.hydra_errors import available
from pipeline.command_line.inspect import Look, look
from pipeline.command_line.shipped import default_of, defaults_of, described
from tests.command_line.typing import run, write_model_and_data
from tests.example import linear_model


@pytest.fixture(autouse=True)
def _written(elsewhere: None) -> None:
    write_model_and_data()


def asked(*typed: str) -> Look:
    found = look(typed)
    assert found is not None
    return found


def names(word: str) -> list[str]:
    return word.partition("=")[2].strip("[]").split(",")


def test_every_chain_and_every_target_is_looked_at_the_usual_ones_first() -> None:
    variants, targets, *rest = asked("m.onnx", "d.npz", "data.test_size=9").words
    assert (names(variants)[0], sorted(names(variants))) == ("baseline", available("variant"))
    assert (names(targets)[0], sorted(names(targets))) == ("ort_cpu", available("target"))
    assert rest == ["model=onnx", "model.path=m.onnx", "data=npz", "data.path=d.npz", "data.test_size=9"]


def test_what_is_typed_is_looked_at_in_place_of_all() -> None:
    found = asked("m.onnx", "variant=[baseline]", "target=[ort_cpu]", "--json")
    assert found.words[-2:] == ["variant=[baseline]", "target=[ort_cpu]"]
    assert (found.as_json, found.suggested.chosen) == (True, True)
    assert not [word for word in found.words if word.startswith("target=") and word != "target=[ort_cpu]"]
    assert not [word for word in asked("m.onnx", "experiment=stages").words if word.startswith("variant")]


def test_the_commands_to_type_next_have_what_was_typed() -> None:
    linear_model(Path("a b.onnx"))
    found = asked("a b.onnx", "d.npz", "--config-dir", ".", "--json", "seed=3").suggested
    assert found.optimize == "python -m pipeline optimize 'a b.onnx' d.npz --config-dir . seed=3"
    assert found.run == [
        "--config-dir", ".", "model=onnx", "model.path=a b.onnx", "data=npz", "data.path=d.npz", "seed=3",
    ]  # fmt: skip


def test_a_variant_is_described_by_the_first_sentence_of_its_file() -> None:
    Path("variant").mkdir()
    Path("variant/mine.yaml").write_text("# @package variants.mine\n# Mine, to 0.5 and\n# 'back'. Slow.\nx: 1\n")
    Path("variant/bare.yaml").write_text("x: 1\n# not its head\n")
    found = described("variant", [Path()])
    assert found["static_int8"] == "Weights and activations in int8, with ranges from the calibration split."
    assert (found["mine"], found["bare"]) == ("Mine, to 0.5 and 'back'.", "")
    assert all(found[name].endswith(".") and "@package" not in found[name] for name in available("variant"))


def test_the_options_of_a_run_are_those_of_its_configuration() -> None:
    assert (default_of("model"), default_of("target")) == ("fashion_resnet", "ort_cpu")
    assert defaults_of("variant")[0] == "baseline"
    assert "static_int8" in defaults_of("variant")


@pytest.mark.slow
def test_a_model_is_looked_at_and_the_commands_that_are_printed_can_be_typed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(Path().rglob("*"))
    code, out, _ = run(capsys, "inspect", "m.onnx", "d.npz", "--json")
    assert code == 0
    assert sorted(Path().rglob("*")) == before
    found = json.loads(out)
    assert found["operators"] == {"MatMul": 1}
    assert {chain["name"] for chain in found["variants"]} == set(available("variant"))
    assert {target["name"] for target in found["targets"]} == set(available("target"))
    worth = [chain["name"] for chain in found["variants"] if chain["verdict"] == "try"]
    assert "static_int8" in worth
    for line in found["next"].values():
        python, dash, package, *typed = shlex.split(line)
        assert (python, dash, package) == ("python", "-m", "pipeline")
        if typed[0] == "optimize":
            assert run(capsys, *typed, "--cfg", "job")[0] == 0
        else:
            assert set(names(typed[0])) <= set(worth)
            code, out, error = run(capsys, "plan", *typed, "--json")
            assert (code, error) == (0, "")
            assert json.loads(out)["command"] == line


MISTAKES = [
    (["no.onnx"], "no.onnx does not exist: did you mean m.onnx?"),
    (["m.onnx", "no.npz"], "no.npz does not exist: did you mean d.npz?"),
    (["m.onnx", "d.npz", "more"], "'more' is one too many behind MODEL and DATA"),
    (["m.onnx", "d.npz", "model.nope=1"], "model.nope does not exist; available: path, preprocessing"),
    (["m.onnx", "variant=[nope]"], "'nope' does not exist; available in 'variant': "),
    (["m.onnx", "--multirun"], "--multirun can't be given here: only --config-dir DIR"),
    (["fashion_resnet", "d.npz"], "the model's inputs are image, but the data has x"),
]


@pytest.mark.parametrize(("typed", "says"), MISTAKES, ids=[" ".join(typed) for typed, _ in MISTAKES])
def test_a_mistake_gets_one_line_and_exit_code_2(
    typed: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = run(capsys, "inspect", *typed)
    assert code == 2
    assert error.startswith(f"slimline: {says}")
    assert error.count("\n") == 1
    assert not out


@pytest.mark.slow
def test_a_class_that_ends_its_process_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("ending_net.py").write_text("import os\n\n\nclass Net:\n    def __init__(self):\n        os._exit(3)\n")
    shape = "model.inputs={x: {shape: [3], dtype: float32}}"
    code, _, error = run(capsys, "inspect", "ending_net:Net", "model.weights=null", shape)
    assert (code, error.count("\n")) == (2, 1)
    assert error == "slimline: the model Net can't be read or made: its process ended with code 3\n"


def test_help_and_the_schema_need_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "inspect", "--help")
    assert (code, "[--json] [--json-schema] MODEL [DATA]" in out) == (0, True)
    code, out, _ = run(capsys, "inspect", "--json-schema")
    assert (code, json.loads(out)["$id"]) == (0, "urn:slimline:inspection:1")
