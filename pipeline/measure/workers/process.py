"""The parent's end of a measuring process: it sends commands and waits for answers."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import WorkerFailed
from pipeline.isolated.channel import Channel, Garbled
from pipeline.isolated.process import how_it_ended, last_words
from pipeline.measure.workers.worker import CAN_STOP, Command, Failure
from pipeline.plan import RunLimits

logger = logging.getLogger(__name__)

_TIMES = 100


@dataclass(slots=True, kw_only=True)
class Patience:
    """How long the parent waits for an answer: ``least_s``, or a hundred times as long as the longest answer took so
    far."""

    least_s: float = RunLimits().seconds
    longest_s: float = 0.0

    @property
    def limit_s(self) -> float:
        """The time limit of the next answer, whatever the time that it was asked to take."""
        return max(self.least_s, _TIMES * self.longest_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that carries out commands, one after the other."""

    channel: Channel
    exit_code: Callable[[], int | None]
    log: Path
    end: Callable[[], None]
    """End it at once, whatever it is doing."""
    patience: Patience = field(default_factory=Patience)
    pid: int | None = None
    """The process id of a worker that is stopped while it has nothing to do: the idle threads of its runtime's pool may
    go on spinning for a tenth of a second, on a core that belongs to the worker at work. None: its runtime has no
    pool."""

    def ask(self, command: Command, expected_s: float = 0.0) -> Any:
        """Have a command carried out and wait for the result; raises WorkerFailed with the reason.

        ``expected_s`` is the time that the command itself asks for. A worker that does not answer in time is ended.
        """
        self.tell(command)
        return self.answer(expected_s)

    def tell(self, command: Command) -> None:
        """Send a command; raises WorkerFailed where the process is gone."""
        self._signal("SIGCONT")
        try:
            self.channel.send(command)
        except BrokenPipeError as error:
            raise WorkerFailed(self._obituary()) from error

    def answer(self, expected_s: float = 0.0) -> Any:
        """Wait for the result of the last command; raises WorkerFailed with the reason."""
        limit_s, began = self.patience.limit_s + _TIMES * expected_s, time.monotonic()
        try:
            answer = self.channel.receive(limit_s)
        except EOFError as error:
            raise WorkerFailed(self._obituary()) from error
        except TimeoutError as error:
            self.end()
            raise WorkerFailed(f"it gave no answer for {limit_s:g} s: limits.seconds=SECONDS allows more") from error
        except Garbled as error:
            self.end()
            raise WorkerFailed(f"its process said something that can't be read: {error}") from error
        self._signal("SIGSTOP")
        self.patience.longest_s = max(self.patience.longest_s, time.monotonic() - began)
        if isinstance(answer, Failure):
            logger.debug("%s", answer.trace)
            raise WorkerFailed(answer.reason)
        return answer

    def _signal(self, name: str) -> None:
        """Let it go on, or stop it; not on a system that can't."""
        if self.pid is not None and CAN_STOP:
            with suppress(ProcessLookupError):  # one that is gone is noticed by its channel
                os.kill(self.pid, getattr(signal, name))

    def _obituary(self) -> str:
        self.end()  # one that has closed its end and goes on would be waited for
        said = last_words(self.log)
        return f"its process {how_it_ended(self.exit_code())}{f': {said}' if said else ''}"
