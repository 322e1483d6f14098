"""Locks that end with their process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.folders import locks
from pipeline.folders.locks import InUse, NoLocks, owned_folder, sweep, unused

HOLD = """
import sys, time
from pathlib import Path
from pipeline.folders.locks import {name}
with {name}({arguments}):
    print("held", flush=True)
    time.sleep(60)
"""


def holding(name: str, arguments: str) -> subprocess.Popen[str]:
    """A process that holds a lock until it is killed."""
    program = HOLD.format(name=name, arguments=arguments)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_is_swept_once_its_killed_owner_is_gone(tmp_path: Path) -> None:
    with holding("owned_folder", f"Path({str(tmp_path)!r}), 'run-'") as owner:
        [folder] = tmp_path.iterdir()
        sweep(folder)
        assert folder.is_dir(), "its owner lives"
        owner.kill()
        owner.wait()
        sweep(folder)
    assert not folder.exists()


def test_an_owned_folder_goes_with_its_block(tmp_path: Path) -> None:
    with owned_folder(tmp_path, "run-") as folder:
        (folder / "file").touch()
        with unused(folder) as free:
            assert not free
    assert not folder.exists()


def test_a_link_is_never_followed_by_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "run-link").symlink_to(tmp_path / "precious")
    sweep(tmp_path / "run-link")
    assert (tmp_path / "precious").is_dir()


def test_a_folder_in_use_that_was_replaced_is_marked_anew(tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    folder.mkdir()
    with InUse() as in_use:
        in_use.add(folder)
        folder.rename(tmp_path / "old")
        folder.mkdir()
        in_use.add(folder)
        with unused(folder) as free:
            assert not free
    with unused(folder) as free:
        assert free


def test_on_a_disk_without_locks_a_folder_is_left_over_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(descriptor: int, *, shared: bool = False) -> bool:
        raise NoLocks

    monkeypatch.setattr(locks, "lock", none)
    with owned_folder(tmp_path, "run-") as folder:
        sweep(folder)
        assert folder.is_dir()
        os.utime(folder, (0, 0))
        sweep(folder)
        assert not folder.exists()
