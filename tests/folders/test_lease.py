"""Leases: one holder at a time, whoever dies, and none is robbed that lives."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.folders.lease import LeaseFiles, Leases
from pipeline.folders.lease_files import FolderLeases
from pipeline.store.objects import Objects

TASK = "a" * 64
HOLDING = """
import sys, time
from pathlib import Path
from pipeline.folders.lease import Leases
from pipeline.folders.lease_files import FolderLeases
with Leases(files=FolderLeases(Path(sys.argv[1]))).held(sys.argv[2], "a test"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["folder", "objects"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> LeaseFiles:
    if request.param == "folder":
        return FolderLeases(tmp_path / ".leases")
    return Objects(f"memory://{uuid.uuid4().hex}").part(".leases")


def leases(files: LeaseFiles, *, beat_s: float = 0.02, stale_s: float = 60.0) -> Leases:
    return Leases(files=files, beat_s=beat_s, stale_s=stale_s, pause_s=0.01)


def of_another_machine(files: LeaseFiles, number: int = 1) -> bytes:
    """A lease that nobody renews, of a process that can't be seen from here."""
    life = {"machine": "another", "pid": 1, "started": "1"}
    holder = {"pid": 7, "host": "node-7", "command": "python -m pipeline seed=3", "since": time.time()}
    content = json.dumps({**holder, "life": life, "mark": "its own", "beats": 3}).encode()
    assert files.create(f"{TASK}/{number}", content)
    return content


def test_of_many_at_once_one_holds_it(files: LeaseFiles) -> None:
    inside, most, done = 0, [0], []

    def hold(number: int) -> None:
        nonlocal inside
        for _ in range(4):
            with leases(files).held(TASK, "a test"):
                inside += 1
                most.append(inside)
                time.sleep(0.001)
                inside -= 1
        done.append(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(hold, range(6)))
    assert (max(most), len(done)) == (1, 6)
    assert files.names(TASK) == [], "nothing is left"


def test_a_holder_that_stopped_renewing_is_taken_over(files: LeaseFiles, caplog: pytest.LogCaptureFixture) -> None:
    of_another_machine(files)
    with leases(files, stale_s=0.1).held(TASK, "a test"):
        assert files.names(TASK) == ["2"]
    assert files.names(TASK) == []
    assert "process 7 on node-7 (python -m pipeline seed=3" in caplog.text


def test_of_many_that_take_over_one_does(files: LeaseFiles) -> None:
    of_another_machine(files)
    inside, most = 0, [0]

    def hold(_: int) -> None:
        nonlocal inside
        with leases(files, stale_s=0.1).held(TASK, "a test"):
            inside += 1
            most.append(inside)
            time.sleep(0.005)
            inside -= 1

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(hold, range(5)))
    assert max(most) == 1


def test_a_holder_that_renews_slowly_is_not_robbed(files: LeaseFiles) -> None:
    order: list[str] = []
    with leases(files, beat_s=0.1).held(TASK, "a test"):
        waiter = threading.Thread(target=lambda: _append_when_held(leases(files, stale_s=1.0), order))
        waiter.start()
        time.sleep(2.5)
        order.append("let go")
    waiter.join()
    assert order == ["let go", "held"]


def _append_when_held(leases: Leases, order: list[str]) -> None:
    with leases.held(TASK, "a test"):
        order.append("held")


def test_who_comes_back_finds_the_lease_lost_and_leaves_the_new_one(
    files: LeaseFiles, caplog: pytest.LogCaptureFixture
) -> None:
    asleep = leases(files, beat_s=0.3)  # for longer than the other waits
    with asleep.held(TASK, "a test"), leases(files, stale_s=0.1).held(TASK, "a test"):
        _until(lambda: "took this one for dead" in caplog.text)
        assert files.names(TASK) == ["2"]
    assert files.names(TASK) == []


def test_who_waits_says_for_whom(files: LeaseFiles, caplog: pytest.LogCaptureFixture) -> None:
    of_another_machine(files)
    with (
        caplog.at_level(logging.WARNING),
        leases(files, stale_s=1.3).held(TASK, "a model that another run builds"),
    ):
        pass
    assert "waiting for a model that another run builds: process 7 on node-7" in caplog.text


def test_a_lease_below_the_one_taken_over_goes_with_it(files: LeaseFiles) -> None:
    """A holder that slept may have written its lease again after it was taken over."""
    of_another_machine(files)
    of_another_machine(files, number=2)
    with leases(files, stale_s=0.1).held(TASK, "a test"):
        assert files.names(TASK) == ["3"], "both are gone"


def test_a_killed_holder_of_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, tmp_path, TASK], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    files = FolderLeases(tmp_path)
    assert leases(files).is_held(TASK), "it was killed, so it let nothing go"
    with leases(files, stale_s=10_000).held(TASK, "a test"):
        assert files.names(TASK) == ["2"]


def test_what_a_killed_holder_left_half_written_is_swept_after_a_day(tmp_path: Path) -> None:
    files = FolderLeases(tmp_path)
    of_another_machine(files)
    half = tmp_path / TASK / ".1.abc"
    half.touch()
    files.sweep()
    assert half.exists()
    os.utime(half, (1, 1))
    files.sweep()
    assert not half.exists()
    assert files.names(TASK) == ["1"]


def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")
