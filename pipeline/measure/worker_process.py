"""The parent's end of a measuring process: how it is spoken to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import WorkerFailed
from pipeline.isolated.channel import Channel
from pipeline.isolated.process import how_it_ended, last_words
from pipeline.measure.worker import CAN_STOP, Command, Failure


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
        return f"its process {how_it_ended(self.exit_code())}{f': {said}' if said else ''}"
