"""docs/workflows/gate.yml: its steps do what they should, on a small model in place of the shipped one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_line.typing import write_model_and_data

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
STEPS: list[dict[str, Any]] = yaml.safe_load((ROOT / "docs" / "workflows" / "gate.yml").read_text())["jobs"]["gate"][
    "steps"
]
SMALL = (
    "model=onnx model.path=m.onnx data=npz data.path=d.npz measure.looks=[3] measure.blocks=4 measure.cell_ms=0.5 "
    "measure.peaks=false measure.explain=none measure.energy_s=null measure.noisy_half_width=1000000"
)


def step(name: str) -> str:
    """The shell commands of a step, with this Python and a small model."""
    [text] = [str(one["run"]) for one in STEPS if one.get("name") == name]
    text = re.sub(r"(hydra\.run\.dir=new)", rf"\1 {SMALL}", text)
    return text.replace("python -m pipeline", f"{sys.executable} -m pipeline")


def typed(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    return subprocess.run(
        ["bash", "-e", "-c", step(name)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_every_step_runs_on_the_main_branch_and_on_the_next_push(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model_and_data()
    for name in ("Run", "Gate", "Summary", "Keep a green run"):  # there are no earlier runs
        done = typed(name, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "gate.xml").exists()
    [kept] = (tmp_path / "runs").iterdir()
    assert (kept / "samples" / "record.json").exists()
    (tmp_path / "new").rename(tmp_path / "first")
    assert typed("Run", tmp_path).returncode == 0
    done = typed("Gate", tmp_path)
    assert done.returncode in (0, 1, 3), done.stderr  # so short a run may say anything of speed
    assert "<testsuite " in (tmp_path / "gate.xml").read_text()
    assert typed("Summary", tmp_path).returncode == 0
    assert "# new compared with" in (tmp_path / "summary.md").read_text()


def test_the_steps_that_only_github_has_are_the_only_ones_that_are_not_run() -> None:
    run = {one["name"] for one in STEPS if "run" in one}
    assert run == {"Install", "Run", "Gate", "Summary", "Keep a green run"}
    uses = [one["uses"].partition("@")[0] for one in STEPS if "uses" in one]
    assert uses == ["actions/checkout", "actions/setup-python", "actions/cache/restore", "actions/cache/save"]
