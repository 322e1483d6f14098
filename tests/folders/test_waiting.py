"""Waiting for another process's lock."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.folders import waiting
from pipeline.folders.locks import NoLocks
from pipeline.folders.waiting import Holder, holder_of, locked, try_lock

HOLD = """
import sys, time
from pathlib import Path
from pipeline.folders.waiting import locked
with locked(Path(sys.argv[1]), "a model"):
    print("held", flush=True)
    time.sleep(60)
"""


def holding(path: Path) -> subprocess.Popen[str]:
    """A process that holds a lock until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


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
    monkeypatch.setattr(waiting, "_SAY_AFTER_S", 0.0)
    monkeypatch.setattr(waiting, "_SAY_EVERY_S", 0.2)
    path = tmp_path / "key"

    def end(_: float) -> None:
        if len(caplog.messages) == 3:
            owner.kill()
            owner.wait()
        time.sleep(0.02)

    with holding(path) as owner, caplog.at_level(logging.WARNING):
        owner.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, owner.pid, os.WSTOPPED | os.WNOWAIT)
        monkeypatch.setattr(waiting, "_pause", end)
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

    monkeypatch.setattr(waiting, "lock", none)
    with locked(tmp_path / "key", "a model"):
        assert (tmp_path / "key.lock").exists()
        with try_lock(tmp_path / "key") as free:
            assert not free
    assert list(tmp_path.iterdir()) == []
    assert "has no locks" in caplog.text


def test_a_process_that_has_ended_is_not_named() -> None:
    me = Holder.me()
    assert not me.is_gone
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert replace(me, pid=ended.pid).is_gone
    assert not replace(me, pid=ended.pid, host="elsewhere").is_gone
