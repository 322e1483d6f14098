"""Locks that end with their process."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import locks
from pipeline.locks import Holder, InUse, NoLocks, holder_of, locked, owned_folder, sweep, try_lock, unused

HOLD = """
import sys, time
from pathlib import Path
from pipeline.locks import {name}
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


def test_a_lock_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "key"
    with locked(path, "a model"):
        told = holder_of(path)
        assert told is not None
        assert told.pid == os.getpid()
        with try_lock(path) as free:
            assert not free
    assert list(path.parent.iterdir()) == []


def test_a_waiting_process_says_for_whom_and_that_it_is_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_SAY_AFTER_S", 0.0)
    monkeypatch.setattr(locks, "_SAY_EVERY_S", 0.2)
    path = tmp_path / "key"

    def end(_: float) -> None:
        if len(caplog.messages) == 3:
            owner.kill()
            owner.wait()
        time.sleep(0.02)

    with holding("locked", f"Path({str(path)!r}), 'a model'") as owner, caplog.at_level(logging.WARNING):
        owner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, owner.pid, os.WSTOPPED | os.WNOWAIT)
        monkeypatch.setattr(locks, "_pause", end)
        with locked(path, "a model that another run builds"):
            pass
    assert caplog.messages[0].startswith(f"waiting for a model that another run builds: process {owner.pid} (python -m")
    assert f"it is stopped: 'kill -CONT {owner.pid}' lets it go on" in caplog.messages[1]
    assert caplog.messages[-1].endswith("is over")


def test_what_another_user_wrote_into_a_lock_can_not_reach_the_terminal(tmp_path: Path) -> None:
    line = json.dumps({"pid": 1, "host": "\033[31mh", "command": "\033]0;title\007" + "x" * 5000, "since": 1e300})
    told = Holder.parse(line)
    assert told is not None
    assert str(told).isprintable()
    assert len(str(told)) < 300
    assert Holder.parse("[1]") is None
    assert Holder.parse('{"pid": "x"}') is None


def test_a_disk_without_locks_is_said_and_lock_files_stand_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(descriptor: int, *, shared: bool = False) -> bool:
        raise NoLocks

    monkeypatch.setattr(locks, "lock", none)
    with locked(tmp_path / "key", "a model"):
        assert (tmp_path / "key.lock").exists()
        with try_lock(tmp_path / "key") as free:
            assert not free
    assert "has no locks" in caplog.text
    with owned_folder(tmp_path, "run-") as folder:
        sweep(folder)
        assert folder.is_dir(), "it is not a day old"
