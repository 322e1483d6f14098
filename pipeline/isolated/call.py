"""The child's end: it carries out one call, and sends every message, log line, result and error."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import SlimlineError, UserError, WorkerFailed, is_full, reason_of
from pipeline.errors.reasons import traced
from pipeline.isolated.channel import Channel, Garbled, follow_parent, take_standard_streams

Say = Callable[[Any], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The call to carry out: ``function`` with its arguments, and with a ``say`` where somebody listens."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    heard: bool


@dataclass(frozen=True, slots=True)
class Said:
    """A message that the call sends."""

    message: Any


@dataclass(frozen=True, slots=True)
class Logged:
    """A line for the run's log."""

    name: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The result of the call."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """The error of a call, and its whole text. An error of ours and a full disk are kept as they were raised; any other
    becomes a WorkerFailed with its reason."""

    kind: type[Exception]
    words: tuple[Any, ...]
    trace: str


def main() -> None:
    """Be a process that was started afresh: the call comes in through stdin."""
    follow_parent()
    answer(take_standard_streams())


def answer(channel: Channel) -> None:
    """Carry out the one call that comes in, and end at once, without waiting for a library's own end."""
    tell = _Teller(channel)
    with suppress(EOFError, BrokenPipeError):
        outcome = _outcome(channel, tell)
        try:
            tell(outcome)
        except (TypeError, ValueError, AttributeError, pickle.PicklingError) as error:  # before a byte was sent
            tell(_raised(error))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Sends, also from several threads."""

    channel: Channel
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, message: Any) -> None:
        with self.lock:
            self.channel.send(message)


def _outcome(channel: Channel, tell: _Teller) -> Returned | Raised:
    try:
        call: Call = channel.receive()
    except EOFError:
        raise
    except BaseException as error:  # noqa: BLE001  a user's class raises what it likes when it is read
        return _raised(error)
    return carried_out(call, tell)


def carried_out(call: Call, tell: Callable[[Any], None]) -> Returned | Raised:
    """The outcome of a call in this process; ``tell`` gets what it says and logs meanwhile.

    A parent that is gone raises EOFError, which is passed on.
    """
    try:
        with _logging_to(tell):
            words = {"say": lambda message: tell(Said(message))} if call.heard else {}
            return Returned(call.function(*call.arguments, **words))
    except EOFError:
        raise
    except BaseException as error:  # noqa: BLE001  a model's code raises what it likes, SystemExit too
        return _raised(error)


def _raised(error: BaseException) -> Raised:
    trace = traced(error)
    if isinstance(error, UserError):
        return Raised(UserError, tuple(error.problems), trace)
    if isinstance(error, SlimlineError):
        ours = next(kind for kind in type(error).__mro__ if kind.__module__ == SlimlineError.__module__)
        return Raised(ours, (str(error),), trace)
    if isinstance(error, OSError) and is_full(error):
        return Raised(OSError, (error.errno or errno.ENOSPC, str(error.strerror or error), error.filename), trace)
    if isinstance(error, Garbled):
        return Raised(WorkerFailed, (f"what it was told can't be read: {error}",), trace)
    return Raised(WorkerFailed, (reason_of(error),), trace)


class _ToParent(logging.Handler):
    def __init__(self, tell: Callable[[Any], None]) -> None:
        super().__init__()
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info))
        self.tell(Logged(record.name, record.levelno, text))


@contextmanager
def _logging_to(tell: Callable[[Any], None]) -> Iterator[None]:
    """What this package logs goes to the parent, which knows where to put it."""
    package = logging.getLogger("pipeline")
    handler = _ToParent(tell)
    package.setLevel(logging.DEBUG)
    package.propagate = False
    package.handlers[:] = [handler]
    try:
        yield
    finally:
        package.removeHandler(handler)
