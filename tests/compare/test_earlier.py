"""A new run is held against the last green ones of a folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.compare.earlier import last_green
from pipeline.compare.runs import Run
from pipeline.errors import UserError
from pipeline.results.header import Machine
from pipeline.results.record import UNFINISHED, Record
from tests.analyse.synthetic import without_subject
from tests.compare.runs import a_run, written

DAYS = {name: f"2025-01-0{day}T00:00:00+00:00" for day, name in enumerate(("oldest", "older", "old", "new"), start=1)}


def kept(folder: Path, name: str, **changes: object) -> Record:
    record = replace(a_run(seed=1).record, created=DAYS[name], **changes)  # type: ignore[arg-type]
    written(record, folder / name)
    return record


def names(folder: Path, most: int = 5) -> list[str]:
    return [run.folder.name for run in last_green(folder, Run.read(folder / "new"), most)]


def test_the_latest_runs_come_first_without_the_new_one(tmp_path: Path) -> None:
    for name in DAYS:
        kept(tmp_path, name)
    assert names(tmp_path) == ["old", "older", "oldest"]
    assert names(tmp_path, 2) == ["old", "older"]


def test_a_run_that_is_not_green_is_left_out(tmp_path: Path) -> None:
    kept(tmp_path, "new")
    kept(tmp_path, "old", notes=[UNFINISHED])
    kept(tmp_path, "older")
    (tmp_path / "older" / "gate.json").write_text(json.dumps({"outcome": "REGRESSION"}))
    written(without_subject(kept(tmp_path, "oldest"), "int8", "ort_cpu", 1, "it broke"), tmp_path / "oldest")
    with pytest.raises(UserError, match=r"the run was stopped.*the gate said REGRESSION.*int8@ort_cpu/1 failed"):
        names(tmp_path)


def test_a_run_that_a_gate_kept_is_green(tmp_path: Path) -> None:
    kept(tmp_path, "new")
    kept(tmp_path, "old")
    (tmp_path / "old" / "gate.json").write_text(json.dumps({"outcome": "KEPT"}))
    assert names(tmp_path) == ["old"]


def test_runs_of_another_machine_count_only_where_there_is_no_other(tmp_path: Path) -> None:
    kept(tmp_path, "new")
    kept(tmp_path, "old", machine=Machine(cpu="another processor"))
    assert names(tmp_path) == ["old"]
    kept(tmp_path, "older")
    assert names(tmp_path) == ["older"]


def test_a_folder_without_runs_is_one_line(tmp_path: Path) -> None:
    kept(tmp_path / "runs", "new")
    with pytest.raises(UserError, match="no earlier run to compare with: it has no runs beside this one"):
        names(tmp_path / "runs")
    with pytest.raises(UserError, match="there is no such folder"):
        last_green(tmp_path / "nowhere", Run.read(tmp_path / "runs" / "new"), 5)
