"""Requests wait in a line for the model, which answers them in one thread, as it was timed: one call at a time."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .refused import Refused
from .values import Arrays, InputError, first_line

logger = logging.getLogger(__name__)

Run = Callable[[Arrays], dict[str, NDArray[Any]]]


@dataclass(eq=False)
class Waiting:
    """A request in the line."""

    arrays: Arrays
    deadline: float
    """By the monotonic clock, in seconds: later nobody waits for the outputs."""
    came: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    outputs: dict[str, NDArray[Any]] | None = None
    error: Exception | None = None

    @property
    def count(self) -> int:
        """How many examples it has."""
        return len(next(iter(self.arrays.values())))

    @property
    def form(self) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
        """What has to be equal for two requests to share a call."""
        return tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(self.arrays.items()))


class Line:
    """A line with a bound: whoever finds it full is told when to ask again."""

    def __init__(self, run: Run, *, places: int, most: int = 1, wait_s: float = 0.0) -> None:
        """``most`` examples share a call where ``wait_s`` is above 0: the first of them waits no longer for others."""
        self._run, self._most, self.wait_s = run, most, wait_s
        self._places, self.taken = places, 0
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._last_s = 0.0
        self._open = True

    def full(self) -> Refused | None:
        """Why there is no place; None where there is one."""
        if self.taken < self._places:
            return None
        reason = f"{self._places} requests are waiting already: ask again later"
        return Refused(503, reason, {"Retry-After": str(self._retry_s())})

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the line, to be taken before a request's body is read; raises Refused where there is none."""
        with self._changed:
            if refused := self.full():
                raise refused
            self.taken += 1
        try:
            yield
        finally:
            with self._changed:
                self.taken -= 1

    def answer(self, arrays: Arrays, deadline: float) -> dict[str, NDArray[Any]]:
        """The model's outputs; raises Refused after the deadline, and what the model raised."""
        waiting = Waiting(arrays, deadline)
        with self._changed:
            self._waiting.append(waiting)
            self._changed.notify()
        if not waiting.done.wait(max(0.0, deadline - time.monotonic())):
            raise Refused(504, "the model did not answer in time: send fewer examples, or ask again later")
        if waiting.outputs is None:
            raise waiting.error or Refused(500, "the model gave no outputs")
        return waiting.outputs

    def work(self) -> None:
        """Answer requests until the line is closed and empty."""
        while together := self._next():
            began = time.monotonic()
            self._answer(together)
            self._last_s = time.monotonic() - began

    def close(self) -> None:
        """Let ``work`` end when it has answered all that wait."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def _next(self) -> list[Waiting]:
        """The requests of the next call; none where the line is closed and empty."""
        with self._changed:
            while True:
                while self._open and not self._waiting:
                    self._changed.wait()
                self._drop_late()
                if self._waiting:
                    break
                if not self._open:
                    return []
            if self.wait_s:
                self._wait_for_others()
            return self._taken()

    def _drop_late(self) -> None:
        """Nobody waits for their outputs any more."""
        now = time.monotonic()
        self._waiting = deque(waiting for waiting in self._waiting if waiting.deadline > now)

    def _wait_for_others(self) -> None:
        until = self._waiting[0].came + self.wait_s
        while self._open and sum(waiting.count for waiting in self._waiting) < self._most:
            if not self._changed.wait(max(0.0, until - time.monotonic())) or time.monotonic() >= until:
                return

    def _taken(self) -> list[Waiting]:
        """The first in the line, and those behind it that may share its call."""
        together = [self._waiting.popleft()]
        count = together[0].count
        while self.wait_s and self._waiting and self._waiting[0].form == together[0].form:
            count += self._waiting[0].count
            if count > self._most:
                break
            together.append(self._waiting.popleft())
        return together

    def _answer(self, together: Sequence[Waiting]) -> None:
        """Where a shared call fails each request has a call of its own, so that it gets its own outputs or reason."""
        try:
            _share(together, self._run(_joined(together)))
        except Exception as error:  # noqa: BLE001  the thread serves the next request, whatever this one did
            if len(together) > 1:
                for waiting in together:
                    self._answer([waiting])
                return
            together[0].error = error
            if not isinstance(error, InputError):
                logger.error("a request failed: %s: %s", type(error).__name__, first_line(error))
        for waiting in together:
            waiting.done.set()

    def _retry_s(self) -> int:
        """Whole seconds until those that wait have been answered, if each call takes as long as the last one."""
        return max(1, math.ceil(self._last_s * len(self._waiting)))


def _joined(together: Sequence[Waiting]) -> Arrays:
    if len(together) == 1:
        return together[0].arrays
    return {name: np.concatenate([waiting.arrays[name] for waiting in together]) for name in together[0].arrays}


def _share(together: Sequence[Waiting], outputs: Arrays) -> None:
    start = 0
    for waiting in together:
        waiting.outputs = {name: array[start : start + waiting.count] for name, array in outputs.items()}
        start += waiting.count
