"""``compare`` says what changed, and by its exit code whether the gate lets it pass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from tests.command_line.typing import run
from tests.compare.runs import INT8, a_run, written

MADE = {
    "same": INT8,
    "worse": replace(INT8, lost=200),
    "unsteady": replace(INT8, times_as_fast=1.94, spread=0.15),
}
WIDE = "160"
"""Columns of the terminal, so that names stand on one line."""
LATER = "2025-01-02T00:00:00+00:00"


@pytest.fixture(autouse=True)
def _runs(elsewhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", WIDE)
    written(a_run().record, Path("runs/a"))
    for name, made in MADE.items():
        written(replace(a_run(made, seed=2).record, created=LATER), Path(name))


@pytest.mark.parametrize(("later", "expected"), [("same", 0), ("worse", 1), ("unsteady", 3)])
def test_the_gate_is_the_exit_code(capsys: pytest.CaptureFixture[str], later: str, expected: int) -> None:
    code, out, error = run(capsys, "compare", "runs/a", later, "--gate")
    assert (code, error) == (expected, "")
    assert "int8 on ort_cpu, batch 1" in out
    outcome = json.loads((Path(later) / "gate.json").read_text())["outcome"]
    assert f"Gate: {outcome}" in out


def test_without_a_gate_nothing_is_judged_or_left(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "compare", "runs/a", "worse")
    assert (code, "Gate" in out) == (0, False)
    assert not Path("worse/gate.json").exists()


def test_rules_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "compare", "runs/a", "worse", "--gate", "gate.max_accuracy_drop=0.05")[0] == 0


def test_earlier_runs_come_from_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "compare", "same", "--against", "runs", "--gate")
    assert code == 0
    assert "runs/a" in out


def test_files_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, error = run(
        capsys, "compare", "runs/a", "worse", "--gate", "--junit", "j/unit.xml", "--out", "o", "--json"
    )
    assert code == 1
    assert "comparison.html" in error
    assert sorted(path.name for path in Path("o").iterdir()) == ["comparison.html", "comparison.json", "comparison.md"]
    assert json.loads(out) == json.loads(Path("o/comparison.json").read_text())
    assert 'failures="1"' in Path("j/unit.xml").read_text()
    schema = json.loads(run(capsys, "compare", "--json-schema")[1])
    jsonschema.validate(json.loads(out), schema)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["runs/a"], "RUN_A RUN_B, or RUN --against FOLDER (got runs/a)"),
        (["runs/a", "same", "--against", "runs"], "RUN --against FOLDER (got runs/a, same)"),
        (["runs/a", "nowhere"], "nowhere is not a finished run"),
        (["runs/a", "same", "--junit", "j.xml"], "--junit belongs to the gate"),
        (["runs/a", "same", "gate.max_slowdown=0.1"], "gate.max_slowdown=0.1 belongs to the gate"),
        (["runs/a", "same", "--gate", "gate.max_slowdown=-1"], "gate.max_slowdown must be at least 0"),
        (["runs/a", "same", "--gate", "gate.max_slowdwn=1"], "max_slowdwn"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(capsys: pytest.CaptureFixture[str], typed: list[str], said: str) -> None:
    code, out, error = run(capsys, "compare", *typed)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert said in error
