"""A load on purpose."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.machine import busy
from pipeline.machine.busy import busy_cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def _children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in found]


def _ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_as_many_processes_work_as_cores_are_asked_for_and_none_stays() -> None:
    before = set(_children(os.getpid()))
    with busy_cores(2):
        spinners = set(_children(os.getpid())) - before
        assert len(spinners) == 2
        until = time.monotonic() + 20
        while min(map(_ticks, spinners)) < 5:
            assert time.monotonic() < until
            time.sleep(0.05)
    assert not spinners & set(_children(os.getpid()))


def test_none_is_started_where_none_is_asked_for() -> None:
    before = _children(os.getpid())
    with busy_cores(0):
        assert _children(os.getpid()) == before


def test_they_end_with_whoever_started_them_however_that_ends(tmp_path: Path) -> None:
    program = (
        "import os, sys, signal; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from busy import busy_cores\n"
        "with busy_cores(1):\n"
        "    print(Path(f'/proc/{os.getpid()}/task/{os.getpid()}/children').read_text(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    words = [sys.executable, "-c", program, str(Path(busy.__file__).parent)]
    said = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path)
    (spinner,) = map(int, said.stdout.split())
    until = time.monotonic() + 20
    while Path(f"/proc/{spinner}/cmdline").exists() and Path(f"/proc/{spinner}/cmdline").read_bytes():
        assert time.monotonic() < until
        time.sleep(0.05)
