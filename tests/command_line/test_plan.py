"""``plan`` composes the configuration that a run would have, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command_line.typing import run, write_model_and_data

OWN = ("model=onnx", "model.path=m.onnx", "data=npz", "data.path=d.npz", "target=[ort_cpu]")


@pytest.fixture(autouse=True)
def _written(elsewhere: None) -> None:
    write_model_and_data()


def planned(capsys: pytest.CaptureFixture[str], *typed: str) -> dict[str, Any]:
    code, out, error = run(capsys, "plan", *typed, "--json")
    assert (code, error) == (0, "")
    document: dict[str, Any] = json.loads(out)
    return document


def test_the_settings_are_those_of_a_run_and_no_folder_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    found = planned(capsys, *OWN, "variant=[baseline,dynamic_int8]", "batch_sizes=[1,2]", "measure.budget_s=7")
    assert sorted(Path().rglob("*")) == before
    assert [(row["variant"], row["batch_size"]) for row in found["rows"]] == [
        ("baseline", 1), ("baseline", 2), ("dynamic_int8", 1), ("dynamic_int8", 2),
    ]  # fmt: skip
    assert found["measuring"]["latency_s"] == 7
    assert found["command"].startswith("python -m pipeline model=onnx model.path=m.onnx data=npz")
    assert found["output"]["path"].startswith("outputs/")
    assert found["store"]["free_bytes"] > 0


def test_what_nobody_named_is_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {row["variant"]: row["asked"] for row in planned(capsys, *OWN)["rows"]}
    assert (asked["baseline"], asked["static_int8"]) == (True, False)


def test_a_folder_of_the_users_own_configurations_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my conf/variant").mkdir(parents=True)
    Path("my conf/variant/mine.yaml").write_text(
        "# @package variants.mine\ndefaults:\n  - /stage@stages.export: export_onnx\n  - _self_\n"
        "_target_: pipeline.plan.Variant\n"
    )
    for flags in (["--config-dir", "my conf"], ["--config-dir=my conf"]):
        found = planned(capsys, *flags, *OWN, "variant=[baseline,mine]")
        assert [variant["name"] for variant in found["variants"]] == ["baseline", "mine"]


def test_a_search_is_planned_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(capsys, "experiment=best", *OWN)
    assert found["rows"] == []
    assert "static_int8@ort_cpu" in found["search"]["candidates"]
    assert found["search"]["budget_s"] == 600


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (["nope=1"], ["nope does not exist; available: data, debug"]),
        (
            [*OWN, "target.ort_cpu.threads=0", "batch_sizes=[0]"],
            ["target.ort_cpu.threads must be at least 1", "batch_sizes.0 must be at least 1"],
        ),
        (
            ["model=onnx", "model.path=m.onnx", "model.preprocessing.z.scale=2", "target.ort_cpu.session.nope=1"],
            [
                "target.ort_cpu.session.nope does not exist",
                "model.preprocessing.z does not exist; the model's inputs: x",
                "the model's inputs are x, but the data has image",
            ],
        ),
        (["--config-dir", "no", *OWN], ["--config-dir no: there is no such folder"]),
        (["--cfg", "job"], ["--cfg can't be given here"]),
        (["optimise"], ["'optimise' is no command and no setting"]),
        (["seed=1,2"], ["Ambiguous value for argument 'seed=1,2'"]),
    ],
)
def test_every_problem_gets_a_line_and_nothing_is_left_behind(
    typed: list[str], says: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().rglob("*"))
    code, out, error = run(capsys, "plan", *typed)
    assert (code, out) == (2, "")
    lines = error.splitlines()
    assert len(lines) == len(says)
    for words in says:
        assert any(line.startswith(f"slimline: {words}") for line in lines), error
    assert sorted(Path().rglob("*")) == before


def test_help_and_the_schema_compose_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "[--json-schema] [KEY=VALUE ...]" in run(capsys, "plan", "--help")[1]
    assert json.loads(run(capsys, "plan", "--json-schema")[1])["$id"] == "urn:slimline:plan:1"
