"""Runs somebody else's program with limits, as ``pipeline.isolated`` runs a function."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import WorkerFailed
from pipeline.isolated import Limits
from pipeline.isolated.channel import follow_parent
from pipeline.isolated.process import how_it_ended, kill, last_words

_TICK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended."""

    succeeded: bool
    how: str
    last_words: str


def run_program(command: Sequence[str], folder: Path, limits: Limits) -> Ended:
    """Run a program in a folder; it ends with this process. Raises WorkerFailed where it exceeds a limit."""
    program = f"import sys; sys.path[:] = {sys.path!r}; from pipeline.bundle.process import main; main()"
    with tempfile.TemporaryFile(prefix="slimline-") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(os.getpid()), str(folder), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0 if os.name == "posix" else None,
        )
        try:
            code = _wait(process, limits)
        finally:
            kill(process)
        return Ended(succeeded=code == 0, how=how_it_ended(code), last_words=last_words(log))


def main() -> None:
    """Set the limits, then become the program: they outlive that."""
    parent, folder, program, *arguments = sys.argv[1:]
    follow_parent(int(parent))
    os.chdir(folder)
    os.execv(program, [program, *arguments])


def _wait(process: subprocess.Popen[bytes], limits: Limits) -> int:
    started = time.monotonic()
    while True:
        try:
            return process.wait(_TICK_S)
        except subprocess.TimeoutExpired:
            if limits.seconds is not None and time.monotonic() - started > limits.seconds:
                raise WorkerFailed(f"it took more than {limits.seconds:g} s: {limits.seconds_advice}") from None
            limits.check_memory(process.pid)
