"""The parent's end of a measuring process: how it is started, spoken to and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import WorkerFailed
from pipeline.measure.channel import Channel
from pipeline.measure.worker import CAN_STOP, Command, Failure

PATIENCE_S = 5.0
"""How long a process that was told to end may take."""
_LOG_TAIL = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that carries out commands, one after the other."""

    channel: Channel
    exit_code: Callable[[], int | None]
    log: Path
    pid: int | None = None
    """Of a process that is stopped while it has nothing to do: the idle threads of its runtime's pool may go on
    spinning for a tenth of a second, on a core that belongs to the worker at work. None: its runtime has no pool."""

    def ask(self, command: Command) -> Any:
        """Have a command carried out and wait for the result; raises WorkerFailed with the reason."""
        self.tell(command)
        return self.answer()

    def tell(self, command: Command) -> None:
        """Send a command; raises WorkerFailed where the process is gone."""
        self._signal("SIGCONT")
        try:
            self.channel.send(command)
        except BrokenPipeError as error:
            raise WorkerFailed(self._obituary()) from error

    def answer(self) -> Any:
        """Wait for the result of what was told; raises WorkerFailed with the reason."""
        try:
            answer = self.channel.receive()
        except EOFError as error:
            raise WorkerFailed(self._obituary()) from error
        self._signal("SIGSTOP")
        if isinstance(answer, Failure):
            raise WorkerFailed(answer.reason)
        return answer

    def _signal(self, name: str) -> None:
        """Let it go on, or stop it; not on a system that can't."""
        if self.pid is not None and CAN_STOP:
            with suppress(ProcessLookupError):  # one that is gone is noticed by its channel
                os.kill(self.pid, getattr(signal, name))

    def _obituary(self) -> str:
        said = last_words(self.log)
        return f"its process {_how_it_ended(self.exit_code())}{f': {said}' if said else ''}"


def start_python(module: str, log: Path, descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start ``main`` of a module in a fresh interpreter: with our search path, and without importing our main module.

    In a process group of its own, so that a terminal's Ctrl-C reaches the parent alone, which then ends it.
    """
    program = f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    with log.open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=tuple(descriptors),
            process_group=0 if os.name == "posix" else None,
        )


def channel_to(process: subprocess.Popen[bytes]) -> Channel:
    """Over its standard streams."""
    assert process.stdin is not None
    assert process.stdout is not None
    return Channel(process.stdout, process.stdin)  # type: ignore[arg-type]


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that ends by itself once its channel is closed."""
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End it at once."""
    process.kill()
    process.wait()


def last_words(log: Path) -> str:
    """The last line that a process has printed; empty where it said nothing."""
    said = log.read_bytes()[-_LOG_TAIL:].decode(errors="replace").strip() if log.exists() else ""
    return said.splitlines()[-1].strip() if said else ""


def _how_it_ended(code: int | None) -> str:
    if code is None:
        return "ended"
    if code >= 0:
        return f"ended with code {code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"
