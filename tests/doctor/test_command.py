"""``python -m pipeline doctor``: lines with levels, JSON, and the noise floor."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from pipeline.doctor import command as module
from pipeline.doctor.command import NoiseFloor, doctor, judge_noise, noise_floor
from pipeline.errors import WorkerFailed
from pipeline.machine.quiet import Quiet
from pipeline.run.progress import ProgressDisplay

FLOOR = NoiseFloor(
    ratio=1.001, low=0.995, high=1.007, half_width=0.006, detectable=0.008, rounds=20, blocks=600, seconds=30.0
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "sample_quiet", lambda seconds: Quiet(stolen=0.0, busy=0.0))


def examined(tmp_path: Path, **options: Any) -> str:
    text = io.StringIO()
    assert doctor(tmp_path / "no" / "store", Console(file=text, width=400), **options) == 0
    return text.getvalue()


def test_every_finding_is_a_line_with_its_level(tmp_path: Path) -> None:
    lines = examined(tmp_path, quick=True).splitlines()
    topics = ["processor", "int8", "bf16", "cores", "governor", "turbo", "virtual machine", "steal", "load", "memory"]
    topics += ["swap", "GPU", "torch", "onnxruntime", "other runtimes", "disk"]
    for topic in topics:
        [line] = [line for line in lines if line[9:].startswith(f"{topic} ")]
        assert line.split()[0] in {"ok", "note", "warning"}


def test_quick_leaves_the_noise_floor_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "noise_floor", lambda *arguments: pytest.fail("it was measured"))
    assert "noise floor" not in examined(tmp_path, quick=True)


def test_a_warning_does_not_change_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    lines = examined(tmp_path, quick=True).splitlines()
    [place] = [number for number, line in enumerate(lines) if line.startswith("warning  disk ")]
    assert lines[place + 1].lstrip().startswith("-> ")
    assert "warning" in lines[-1]


def test_json_goes_to_stdout_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "noise_floor", lambda *arguments: FLOOR)
    assert doctor(tmp_path, Console(file=sys.stdout), as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["noise_floor"]["ratio"] == 1.001
    assert document["machine"]["cores"] >= 1
    assert {"topic", "level", "text", "advice"} == document["findings"][0].keys()
    assert document["findings"][-1]["topic"] == "noise floor"


def test_a_probe_that_can_not_be_run_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> NoiseFloor:
        raise WorkerFailed("its process was ended by SIGILL")

    monkeypatch.setattr(module, "noise_floor", fail)
    text = examined(tmp_path)
    assert "its process was ended by SIGILL" in text


@pytest.mark.parametrize(
    ("floor", "level"),
    [
        (FLOOR, "ok"),
        (replace(FLOOR, half_width=0.02), "note"),
        (replace(FLOOR, half_width=0.04), "warning"),
        (replace(FLOOR, low=1.02, high=1.03), "warning"),
        (replace(FLOOR, low=1.002, high=1.008), "ok"),
    ],
)
def test_the_noise_floor_is_judged_as_a_run_would_be(floor: NoiseFloor, level: str) -> None:
    assert judge_noise(floor).level == level


def test_the_noise_floor_names_the_clones_ratio_and_what_would_show() -> None:
    text = judge_noise(FLOOR).text
    assert "1.001x [0.995, 1.007]" in text
    assert "differences from 0.8 % on would show" in text


def test_the_noise_floor_times_a_model_against_itself() -> None:
    display = ProgressDisplay(Console(file=io.StringIO()))
    found = noise_floor(0.5, display)
    assert found.low < found.ratio < found.high
    assert found.detectable > found.half_width > 0
    assert found.rounds >= 2
    assert found.blocks >= 8
