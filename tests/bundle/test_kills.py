"""What verifies or writes a bundle leaves no process behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")

VERIFYING = """
import sys
from pathlib import Path
from pipeline.bundle.process import run_program
from pipeline.isolated import Limits
run_program([sys.executable, "-c", "import time; time.sleep(600)", "MARK"], Path("/"), Limits(seconds=600))
"""


def with_mark(mark: str) -> list[int]:
    """The processes whose command line holds a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_of_a_bundle_ends_with_the_one_that_verifies_it(number: signal.Signals, tmp_path: Path) -> None:
    mark = f"slimline-test-{tmp_path.name}-{os.getpid()}"
    process = subprocess.Popen([sys.executable, "-c", VERIFYING.replace("MARK", mark)])
    try:
        _wait_until(lambda: any(pid != process.pid and _sleeps(pid) for pid in with_mark(mark)))
        process.send_signal(number)
        process.wait()
        _wait_until(lambda: not with_mark(mark))
    finally:
        process.kill()
        process.wait()
        for pid in with_mark(mark):
            os.kill(pid, signal.SIGKILL)
    assert with_mark(mark) == []


def _sleeps(pid: int) -> bool:
    """Whether it has become the program."""
    try:
        return b"time.sleep(600)" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2]
    except (OSError, IndexError):
        return False


def _wait_until(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
