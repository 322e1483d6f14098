"""The parent's end: it starts the process, listens, keeps to the limits, and ends it."""

from __future__ import annotations

import logging
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import IO, Any, Protocol, TypeVar

from pipeline.errors import WorkerFailed
from pipeline.errors.reasons import cause
from pipeline.isolated.call import Call, Logged, Raised, Returned, Said, main
from pipeline.isolated.channel import Channel, Garbled
from pipeline.isolated.memory import resident_bytes
from pipeline.isolated.process import PATIENCE_S, channel_to, how_it_ended, kill, last_words, printed, start_python

logger = logging.getLogger(__name__)
T = TypeVar("T")
_TICK_S = 0.25
_STOPPED_S = 10.0
_GIGABYTE = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a call. None: no limit."""

    seconds: float | None = None
    """The longest time without a message or a line for the log."""
    memory_bytes: int | None = None
    """The most memory that the process and all that it starts may hold together."""
    until: float | None = None
    """The time of ``time.monotonic`` at which the call is ended."""
    seconds_advice: str = "limits.seconds=SECONDS allows more"
    memory_advice: str = "limits.memory_gb=GIGABYTES allows more"
    """What a user may do where the limit is exceeded."""

    def check_time(self) -> None:
        """Raise WorkerFailed where the time for the call is over."""
        if self.until is not None and time.monotonic() > self.until:
            raise WorkerFailed("the time for it was over")

    def check_memory(self, pid: int) -> None:
        """Raise WorkerFailed, with the advice, where a process and all that it started hold too much."""
        most = self.memory_bytes
        held = None if most is None else resident_bytes(pid)
        if most is None or held is None or held <= most:
            return
        raise WorkerFailed(
            f"out of memory: it held {held / _GIGABYTE:.1f} GB, and {most / _GIGABYTE:.1f} GB is the limit: "
            f"{self.memory_advice}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process that waits for its call."""

    channel: Channel
    pid: int
    log: IO[bytes]
    exit_code: Callable[[], int | None]
    """The exit code of a process that is ending, as ``subprocess`` gives it."""


class Starter(Protocol):
    """Starts a process for a call; leaving the context ends the process, whatever it is doing."""

    def __call__(self) -> Any:
        """A context manager that gives a Child."""
        ...


@contextmanager
def fresh() -> Iterator[Child]:
    """A new interpreter that inherits nothing."""
    with tempfile.TemporaryFile(prefix="slimline-") as log:
        process = start_python(main.__module__, log)
        channel = channel_to(process)
        try:
            yield Child(channel=channel, pid=process.pid, log=log, exit_code=lambda: _wait(process))
        finally:
            kill(process)
            channel.close()


def run(
    function: Callable[..., T],
    *arguments: Any,
    limits: Limits = Limits(),
    hear: Callable[[Any], None] | None = None,
    start: Starter = fresh,
    stop: Event | None = None,
) -> T:
    """The result of ``function``, called in another process; it and its arguments are pickled. With ``hear``, the
    function also gets the keyword ``say``, and ``hear`` is told everything that it says. Log lines of the package there
    are logged here, and text that the process prints goes to the log. Another thread may end it by setting ``stop``.

    Raises errors of ours as they were raised there, and WorkerFailed, with the reason, for every other exception (its
    whole text goes to the log), for a process that ends, and for one that exceeds a limit.
    """
    with start() as child:
        try:
            _hand_over(child, Call(function=function, arguments=arguments, heard=hear is not None))
            result: T = _listen(child, limits, hear, stop)
            return result
        finally:
            for line in printed(child.log).splitlines():
                logger.debug("%s printed: %s", getattr(function, "__qualname__", function), line)


def _hand_over(child: Child, call: Call) -> None:
    try:
        child.channel.send(call)
    except BrokenPipeError:
        return  # one that is gone is noticed when it is listened to
    except Exception as error:  # a class of the user's may refuse to be pickled in its own way
        raise WorkerFailed(f"it can't be handed to another process: {cause(error)}") from error


def _listen(child: Child, limits: Limits, hear: Callable[[Any], None] | None, stop: Event | None) -> Any:
    watch = _Watch(child.pid, limits)
    while True:
        if stop is not None and stop.is_set():
            raise WorkerFailed("it was stopped")
        if not child.channel.ready(_TICK_S):
            watch.check(silent=True)
            continue
        try:
            message = child.channel.receive(limits.seconds)
        except (EOFError, ConnectionError) as error:
            raise WorkerFailed(_obituary(child)) from error
        except TimeoutError:
            continue
        except Garbled as error:
            raise WorkerFailed(f"its process said something that can't be read: {error}") from error
        watch.check(silent=False)
        if isinstance(message, Returned | Raised):
            return result_of(message)
        pass_on(message, hear)


def result_of(outcome: Returned | Raised) -> Any:
    """The result of a call; raises what the call raised."""
    match outcome:
        case Returned(value):
            return value
        case Raised(kind, words, trace):
            logger.debug("%s", trace)
            raise kind(*words)


def pass_on(message: Logged | Said, hear: Callable[[Any], None] | None) -> None:
    """Log what a call has logged, and tell ``hear`` what it says."""
    match message:
        case Logged(name, level, text):
            logging.getLogger(name).log(level, "%s", text)
        case Said(said) if hear is not None:
            hear(said)


@dataclass(slots=True)
class _Watch:
    """Whether a process keeps to its limits; raises WorkerFailed with what to type where it does not."""

    pid: int
    limits: Limits
    heard: float = 0.0
    looked: float = 0.0

    def __post_init__(self) -> None:
        self.heard = self.looked = time.monotonic()

    def check(self, *, silent: bool) -> None:
        self.limits.check_time()
        now = time.monotonic()
        if now - self.looked > _STOPPED_S:  # this program itself was stopped, and the process perhaps with it
            self.heard += now - self.looked
        if not silent:
            self.heard = now
        if self.limits.seconds is not None and now - self.heard > self.limits.seconds:
            raise WorkerFailed(f"nothing was heard of it for {self.limits.seconds:g} s: {self.limits.seconds_advice}")
        if now - self.looked >= _TICK_S:
            self.looked = now
            self.limits.check_memory(self.pid)


def _obituary(child: Child) -> str:
    ended = how_it_ended(child.exit_code())
    said = last_words(child.log)
    return f"its process {ended}{f': {said}' if said else ''}"


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None
