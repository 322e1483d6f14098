"""One measuring at a time on a machine."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.folders import waiting
from pipeline.folders.locks import NoLocks
from pipeline.folders.waiting import Holder
from pipeline.measure import exclusive
from pipeline.measure.exclusive import FOLDER, NAME, measuring

PROGRAM = """
import sys
from pipeline.measure.exclusive import measuring
with measuring({exclusive}) as said:
    print("measuring", flush=True)
    sys.stdin.read()
print(said, flush=True)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(exclusive, "_PAUSE_S", 0.02)
    monkeypatch.setattr(waiting, "_SAY_AFTER_S", 0.0)
    return tmp_path / NAME


def other(**exclusive: bool) -> subprocess.Popen[str]:
    """Another run that measures until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(**exclusive)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "measuring\n"
    return process


def test_a_run_waits_and_says_for_whom(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with other(exclusive=True) as first, caplog.at_level(logging.WARNING):
        monkeypatch.setattr(waiting, "_pause", lambda _: first.communicate())
        with measuring(True) as said:
            pass
    assert said == []
    assert caplog.messages[0].startswith(
        f"waiting for another run that measures on this machine: process {first.pid} (python -m pipeline"
    )
    assert caplog.messages[0].endswith("; measure.exclusive=false measures at once")


def test_a_killed_run_keeps_nobody_waiting(place: Path) -> None:
    with other(exclusive=True) as first:
        first.kill()
    with measuring(True) as said:
        pass
    assert said == []
    assert place.read_text() == ""


def test_one_that_does_not_wait_says_so_and_both_name_the_other() -> None:
    with other(exclusive=True) as first:
        with measuring(False) as said:
            pass
        output, _ = first.communicate()
    assert said[0] == "this run did not wait for others that measure (measure.exclusive=false)"
    assert said[1].startswith(f"process {first.pid} (python -m pipeline")
    assert said[1].endswith("measured at the same time: tails and throughput may be the machine's")
    assert f"process {os.getpid()} (" in output
    assert "measured at the same time" in output


def test_measuring_within_measuring_goes_on_at_once() -> None:
    program = "from pipeline.measure.exclusive import measuring\nwith measuring(True): print('at once')"
    with measuring(True), measuring(True):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout == "at once\n"


def test_every_user_may_use_the_file_whatever_the_umask(place: Path) -> None:
    before = os.umask(0o077)
    try:
        with measuring(True):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o666


@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "missing"])
def test_a_place_that_gives_no_lock_is_said(place: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "folder":
        place.mkdir()
    elif kind == "link":
        (place.parent / "other").touch()
        place.symlink_to(place.parent / "other")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        monkeypatch.setenv(FOLDER, str(place.parent / "nowhere"))
    with measuring(True) as said:
        pass
    [line] = said
    assert line.startswith("whether another run measured at the same time is not known")


def test_a_disk_without_locks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(descriptor: int, *, shared: bool = False) -> bool:
        raise NoLocks

    monkeypatch.setattr(exclusive, "lock", none)
    with measuring(True) as said:
        assert "not known" in said[0]


def test_what_stands_in_the_file_harms_nobody(place: Path) -> None:
    place.write_bytes(b"\xff[1, 2\n{}\n" + b"x" * 100_000)
    with measuring(True) as said:
        assert place.read_bytes().count(b"\n") == 1
    assert said == []


def test_lines_of_others_count_from_this_run_s_own_on_and_once_each(place: Path) -> None:
    mine, other = Holder.me(), replace(Holder.me(), pid=7)
    with measuring(True) as said:
        place.write_text("".join(holder.line() for holder in (other, mine, other, other)))
    assert len(said) == 1
    with measuring(True) as said:
        place.write_text(other.line())  # another user's file, which this run may not write
    assert said == []
