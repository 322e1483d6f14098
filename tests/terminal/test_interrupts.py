"""A Ctrl-C that a library swallowed ends the run all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal
from rich.console import Console
from pipeline.terminal.interrupts import watch
from pipeline.run.progress import ProgressDisplay

signal.signal(signal.{name}, {handler})
watch()
try:
    os.kill(os.getpid(), signal.{name})
    print("ignored")
except KeyboardInterrupt:
    print("swallowed")
with ProgressDisplay(Console()) as display:
    display.step("measuring", 0.5, "")
    print("went on")
"""


KEPT = """
import ctypes, os, signal, threading
from pipeline.terminal import interrupts

interrupts.PATIENCE_S = 0.2
interrupts.watch()
threading.Timer(0.1, os.kill, (os.getpid(), signal.{name})).start()
mutex = ctypes.create_string_buffer(64)
library = ctypes.CDLL(None)
for _ in range(2):  # the second time it waits for ever, whatever signals come, and has let go of Python's own lock
    library.pthread_mutex_lock(mutex)
"""


FORKING = """
import os, signal, time, warnings
from pipeline.terminal import interrupts

interrupts.PATIENCE_S = 0.1
interrupts.watch()
warnings.simplefilter("ignore")  # Python warns of a fork with threads
if (child := os.fork()) == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
time.sleep(0.4)
print("went on")
"""


def run(handler: str, name: str = "SIGINT") -> tuple[list[str], str]:
    program = PROGRAM.format(handler=handler, name=name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.stdout.split("\n")[:-1], done.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize(
    ("handler", "name", "said"),
    [
        ("signal.default_int_handler", "SIGINT", "stopped; start it again and it continues from the store"),
        ("signal.SIG_DFL", "SIGTERM", "stopped by SIGTERM; start it again and it continues from the store"),
        ("signal.SIG_DFL", "SIGHUP", "stopped by SIGHUP; start it again and it continues from the store"),
    ],
)
def test_a_swallowed_signal_is_raised_again_at_the_next_step(handler: str, name: str, said: str) -> None:
    assert run(handler, name) == (["swallowed"], f"pipeline.terminal.interrupts.Stopped: {said}")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_where_it_is_ignored_it_stays_ignored(name: str) -> None:
    assert run("signal.SIG_IGN", name) == (["ignored", "went on"], "")


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_library_that_keeps_the_main_thread_does_not_keep_the_process(name: str, code: int) -> None:
    """A call into C that goes on after a signal, as one into a runtime does; Python's own handler never runs."""
    done = subprocess.run([sys.executable, "-c", KEPT.format(name=name)], capture_output=True, text=True, timeout=30)
    assert done.returncode == code
    assert done.stderr.strip().startswith("slimline: stopped")


def test_a_signal_to_a_process_that_was_forked_off_is_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["-15", "went on"], done.stderr
