"""A Ctrl-C that a library swallowed ends the run all the same."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal
from rich.console import Console
from pipeline.interrupts import watch
from pipeline.progress import ProgressDisplay

signal.signal(signal.SIGINT, {handler})
watch()
try:
    os.kill(os.getpid(), signal.SIGINT)
    print("ignored")
except KeyboardInterrupt:
    print("swallowed")
with ProgressDisplay(Console()) as display:
    display.step("measuring", 0.5, "")
    print("went on")
"""


def run(handler: str) -> tuple[list[str], str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(handler=handler)], capture_output=True, text=True)
    return done.stdout.split("\n")[:-1], done.stderr.strip().rpartition("\n")[2]


def test_a_swallowed_interrupt_is_raised_again_at_the_next_step() -> None:
    assert run("signal.default_int_handler") == (["swallowed"], "KeyboardInterrupt")


def test_where_it_is_ignored_it_stays_ignored() -> None:
    assert run("signal.SIG_IGN") == (["ignored", "went on"], "")
