"""The parent's end of a worker."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pipeline.bundle.slimline_infer.values import printable

_TIMES = 100
CAN_STOP = hasattr(signal, "SIGSTOP")


class WorkerFailed(Exception):
    """Raised where a worker can't do what it was told; the message is the row's reason."""


class Process:
    """A worker's process, from its start to its end."""

    def __init__(self, stops: bool, limit_s: float) -> None:
        """Start it. One that ``stops`` is stopped while it has nothing to do, as the idle threads of its runtime's pool
        may go on spinning; an answer may take ``limit_s``, or a hundred times as long as the longest one so far."""
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        self.stops, self.limit_s, self.longest_s = stops and CAN_STOP, limit_s, 0.0
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path[:] = {sys.path!r}; sys.dont_write_bytecode = True; "
                f"from {__package__}.worker import main; main()",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,  # its own, so that the parent's can be closed by a connection that breaks
            start_new_session=True,
        )
        self.rest = b""

    def ask(self, **told: Any) -> dict[str, Any]:
        """Have a command carried out; raises WorkerFailed with the reason."""
        self.tell(**told)
        return self.answer()

    def tell(self, **told: Any) -> None:
        """Send a command; raises WorkerFailed where the process is gone."""
        self._signal("SIGCONT")
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(told).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise WorkerFailed(self._obituary()) from error

    def answer(self) -> dict[str, Any]:
        """Wait for the answer; raises WorkerFailed with the reason."""
        limit_s, began = max(self.limit_s, _TIMES * self.longest_s), time.monotonic()
        line = self._line(began + limit_s)
        if line is None:
            self.end()
            raise WorkerFailed(f"it gave no answer for {limit_s:g} s")
        if not line:
            raise WorkerFailed(self._obituary())
        self._signal("SIGSTOP")
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        found: Mapping[str, Any] = json.loads(line)
        if "failed" in found:
            raise WorkerFailed(printable(found["failed"]))
        return dict(found)

    def end(self) -> None:
        """End it at once."""
        if self.process.poll() is None:
            with suppress(OSError):
                self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()

    def close(self) -> None:
        """End it, and forget what it has printed."""
        self.end()
        self.log.close()

    def _line(self, until: float) -> bytes | None:
        """The next line; empty at the process's end, None when the time is up. It blocks: the parent never spins."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self.rest:
            if not _readable(descriptor, until - time.monotonic()):
                return None
            piece = os.read(descriptor, 2**20)
            if not piece:
                return b""
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\n")
        return line

    def _signal(self, name: str) -> None:
        if self.stops:
            with suppress(OSError):
                os.kill(self.process.pid, getattr(signal, name))

    def _obituary(self) -> str:
        self.end()
        code = self.process.returncode
        how = f"ended with code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        self.log.seek(0)
        said = [line.strip() for line in self.log.read().decode(errors="replace").splitlines() if line.strip()]
        return f"its process {how}" + (f": {printable(said[-1])}" if said else "")


def _readable(descriptor: int, seconds: float) -> bool:
    if not hasattr(select, "poll"):
        return True
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(max(0.0, seconds) * 1000))
