"""A run's folder and ``outputs/latest``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.errors import OutOfSpace, UserError
from pipeline.folders.outputs import claimed, new_folder, point_latest_at, sweep_outputs


def run_folder(outputs: Path, name: str) -> Path:
    folder = outputs / "2026-01-01" / name
    folder.mkdir(parents=True)
    (folder / "slimline.log").touch()
    return folder


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    wanted = str(tmp_path / "outputs" / "12-00-00")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(new_folder, [wanted] * 8))
    assert sorted(found) == sorted([wanted, *(f"{wanted}-{number}" for number in range(2, 9))])


def test_a_folder_that_can_not_be_made_is_left_to_whoever_writes(tmp_path: Path) -> None:
    (tmp_path / "outputs").touch()
    assert new_folder(str(tmp_path / "outputs" / "run")) == str(tmp_path / "outputs" / "run")


def test_a_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        claimed(tmp_path / "run"),
        pytest.raises(UserError, match="another run writes into"),
        claimed(tmp_path / "run"),
    ):
        pass
    with claimed(tmp_path / "run"):
        pass


def test_latest_is_moved_by_many_runs_at_once(tmp_path: Path) -> None:
    """Three processes move the link as often as they can, and none of them may fail or leave anything behind."""
    program = (
        "import logging, sys; from pathlib import Path; from pipeline.folders.outputs import point_latest_at\n"
        "logging.basicConfig()\n"
        "for _ in range(200): point_latest_at(Path(sys.argv[1]))"
    )
    outputs = tmp_path / "outputs"
    folders = [run_folder(outputs, str(number)) for number in range(3)]
    runs = [
        subprocess.Popen([sys.executable, "-c", program, str(folder)], stderr=subprocess.PIPE, text=True)
        for folder in folders
    ]
    assert [run.communicate(timeout=60)[1] for run in runs] == ["", "", ""]
    assert (outputs / "latest").resolve() in folders
    assert sorted(path.name for path in outputs.iterdir()) == ["2026-01-01", "latest"]


def test_a_folder_called_latest_is_left_alone(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "outputs", "1")
    (tmp_path / "outputs" / "latest").mkdir()
    point_latest_at(folder)
    assert not (tmp_path / "outputs" / "latest").is_symlink()


def test_what_killed_runs_left_half_written_is_swept_and_what_is_at_work_is_not(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    dead, alive, own = (run_folder(outputs, name) for name in ("dead", "alive", "own"))
    (outputs / ".latest-dead").symlink_to("nowhere")
    (dead / "samples").mkdir()
    (dead / "samples" / "latency.npz").touch()
    with claimed(alive), claimed(own):
        for run in (dead, alive):
            (run / "deploy" / ".static_int8.0123.new").mkdir(parents=True)
            (run / "deploy" / "static_int8").mkdir()
            (run / ".report.html.tmp").touch()
        sweep_outputs(own)
        point_latest_at(own)
    assert sorted(path.name for path in dead.rglob("*")) == ["deploy", "slimline.log", "static_int8"]
    assert (alive / "deploy" / ".static_int8.0123.new").is_dir()
    assert not (outputs / ".latest-dead").is_symlink()


def test_a_full_disk_is_noticed_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with (
        pytest.raises(OutOfSpace, match=r"are free at .*run, and 4 MB are needed: type hydra"),
        claimed(tmp_path / "run"),
    ):
        pass


def test_outputs_and_a_runs_folder_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "disk" / "2026-01-01" / "run").mkdir(parents=True)
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    (tmp_path / "outputs" / "link").symlink_to(tmp_path / "disk" / "2026-01-01" / "run")
    with claimed(tmp_path / "outputs" / "link"):
        point_latest_at(tmp_path / "outputs" / "link")
    assert (tmp_path / "outputs" / "latest").resolve() == tmp_path / "disk" / "2026-01-01" / "run"
