"""``new`` writes a class, its configuration and a test, which work as they are written."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module, invalidate_caches
from pathlib import Path

import onnx
import pytest
import yaml
from onnx import helper

from pipeline.command_line.new import KINDS, new
from tests.command_line.typing import run
from tests.stages.onnx_models import graph_model, weight

NAMES = {"stage": "half_mantissa", "metric": "nearly_right", "data": "bright_rows", "backend": "flushing"}
CLASSES = {
    "stage": "HalfMantissaStage", "metric": "NearlyRightMetric", "data": "BrightRowsData",
    "backend": "FlushingBackend",
}  # fmt: skip
SMALL = (
    "model=onnx", "model.path=model.onnx", "model.preprocessing.image.scale=0.00392", "data.examples=300",
    "measure.looks=[3]", "measure.blocks=4", "measure.cell_ms=0.5", "measure.explain=none", "measure.energy_s=null",
    "measure.peaks=false", "hydra.run.dir=run", "store.path=store",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _importable(elsewhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in NAMES.values():
        sys.modules.pop(name, None)


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def typed_of(command: str) -> list[str]:
    python, dash, package, *typed = shlex.split(command)
    assert (python, dash, package) == ("python", "-m", "pipeline")
    return typed


def command_of(kind: str) -> str:
    """Write one of this kind, and return the command that runs it."""
    *_, command = new([kind, NAMES[kind]]).commands
    invalidate_caches()
    return command


def write_classifier() -> None:
    """Write a model for the images of the data set that is written."""
    nodes = [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    model = graph_model(nodes, ("n", 1, 28, 28), ("n", 10), [weight("w", 784, 10)])
    model.graph.input[0].name = "image"
    onnx.save(model, "model.onnx")


def test_the_files_are_named_and_the_commands_begin_where_the_user_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = run(capsys, "new", "stage", "mine", "--to", "my own")
    assert (code, error) == (0, "")
    written = [
        "my own/mine.py", "my own/test_mine.py", "my own/mine.md", "my own/conf/stage/mine.yaml",
        "my own/conf/variant/mine.yaml",
    ]  # fmt: skip
    assert files() == sorted(written)
    assert out.splitlines() == [
        *(f"wrote {path}" for path in written), "", "Next:", "  cd 'my own'", "  python -m pytest test_mine.py",
        "  python -m pipeline --config-dir conf 'variant=[baseline,mine]' 'target=[ort_cpu]' measure=quick",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_yaml_holds_the_fields_of_the_class_with_their_defaults(kind: str) -> None:
    command_of(kind)
    group = KINDS[kind].groups[0]
    node = yaml.safe_load(Path(f"conf/{group}/{NAMES[kind]}.yaml").read_text())
    node = node["backend"] if kind == "backend" else node
    assert node.pop("_target_") == f"{NAMES[kind]}.{CLASSES[kind]}"
    own = getattr(import_module(NAMES[kind]), CLASSES[kind])
    assert node == {field.name: field.default for field in fields(own)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_readme_says_what_to_type_and_names_a_setting_that_there_is(kind: str) -> None:
    command = command_of(kind)
    text = Path(f"{NAMES[kind]}.md").read_text()
    assert f"    {command}\n" in text
    [(key, value)] = re.findall(r"Type a setting as \S+\.(\w+)=(\S+)\. ", text)
    [field] = [one for one in fields(getattr(import_module(NAMES[kind]), CLASSES[kind])) if one.name == key]
    assert value != str(field.default).lower()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_line_to_type_names_what_a_run_takes(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = run(capsys, "plan", *typed_of(command_of(kind)), "--json")
    assert (code, error) == (0, "")
    assert NAMES[kind] in json.dumps(json.loads(out))


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_tests_that_are_written_pass_and_a_run_takes_all_four(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[str] = []
    for kind, name in NAMES.items():
        words += [word for word in typed_of(command_of(kind)) if name in word]
    tested = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "12 passed" in tested.stdout

    write_classifier()
    code, out, error = run(capsys, "--config-dir", "conf", *words, "measure=quick", *SMALL)
    assert code == 0, out + error
    report = json.loads(Path("run/report.json").read_text())
    rows = {(variant["name"], row["target"]): row for variant in report["variants"] for row in variant["results"]}
    assert {(place, row["status"]) for place, row in rows.items()} == {
        ((variant, target), "ok") for variant in ("baseline", "half_mantissa") for target in ("ort_cpu", "flushing")
    }
    assert rows["half_mantissa", "flushing"]["accuracy"]["metric"] == "nearly_right"
    [notes] = [stage["notes"] for stage in report["variants"][1]["stages"] if stage["name"] == "half_mantissa"]
    assert notes["rounded"].endswith("weights to 8 bits")
    assert 30 < notes["drift"]["sqnr_db"] < 70, "something was rounded, and no more than that"


def test_nothing_is_overwritten_and_nothing_is_half_written(capsys: pytest.CaptureFixture[str]) -> None:
    for path in (Path("conf/variant/mine.yaml"), Path("test_mine.py")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x: 1\n")
    code, out, error = run(capsys, "new", "stage", "mine")
    assert (code, out) == (2, "")
    assert error == (
        "slimline: test_mine.py, conf/variant/mine.yaml exist already, and nothing is overwritten: type another name, "
        "or another folder with --to FOLDER\n"
    )
    assert files() == ["conf/variant/mine.yaml", "test_mine.py"]

    Path("conf/target").write_text("")
    code, _, error = run(capsys, "new", "backend", "other")
    assert (code, error.count("\n")) == (2, 1)
    assert "conf/target: " in error
    assert not Path("other.py").exists()


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["stage", "my-stage"], "'my-stage' can't be the name of a stage: it is to be a Python name"),
        (["stage", "class"], "'class' can't be the name of a stage"),
        (["metric", "null"], "'null' can't be the name of a metric"),
        (["data", "größe"], "'größe' can't be the name of a data"),
        (["metric", "f1"], "metric 'f1' ships with slimline, and would be taken in place of yours: type my_f1"),
        (["stage", "pruned"], "variant 'pruned' ships with slimline"),
        (["backend", "ort_cpu"], "target 'ort_cpu' ships with slimline"),
        (["metric", "json"], "'json' is the name of a Python module that is installed, which json.py would hide"),
        (["data", "numpy"], "'numpy' is the name of a Python module that is installed"),
    ],
)
def test_a_name_that_cant_be_taken_gets_one_line(
    typed: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, error = run(capsys, "new", *typed)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"slimline: {says}")
    assert files() == []


def test_a_kind_that_does_not_exist_is_told_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(capsys, "new", "runtime", "mine")
    assert code == 2
    for kind in KINDS:
        assert kind in error


def test_help_says_what_each_kind_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "new", "--help")
    assert (code, "[--to FOLDER] KIND NAME" in out) == (0, True)
    for kind in KINDS.values():
        assert kind.about in " ".join(out.split())
