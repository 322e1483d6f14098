"""Waits for a lock that another process holds: it says for whom, and Ctrl-C ends the wait at once."""

from __future__ import annotations

import json
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pipeline.folders.locks import NoLocks, lock, names

logger = logging.getLogger(__name__)
T = TypeVar("T")

PAUSE_S = 0.1
_SAY_AFTER_S, _SAY_EVERY_S = 1.0, 60.0
_LONGEST_COMMAND = 120
_Release = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that holds a lock, as it describes itself."""

    pid: int
    host: str
    command: str
    since: float
    """The time since which it holds the lock, in seconds since the epoch."""

    @staticmethod
    def me() -> Holder:
        """This process."""
        typed = [argument.removeprefix("++") for argument in sys.argv[1:]]
        command = shlex.join(["python", "-m", "pipeline", *typed])
        return Holder(pid=os.getpid(), host=socket.gethostname(), command=command[:_LONGEST_COMMAND], since=time.time())

    @staticmethod
    def parse(line: str) -> Holder | None:
        """The holder that ``line`` describes; None where the line is none of ours."""
        try:
            plain = json.loads(line)
            return Holder(
                pid=max(1, int(plain["pid"])),
                host=str(plain["host"]),
                command=str(plain["command"]),
                since=float(plain["since"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError):
            return None

    def line(self) -> str:
        """The line for a lock's file."""
        return json.dumps(asdict(self)) + "\n"

    def __str__(self) -> str:
        """The words for a message; a line that another user's process wrote may hold anything."""
        with suppress(ValueError, OverflowError, OSError):
            since = f", since {datetime.fromtimestamp(self.since):%Y-%m-%d %H:%M:%S}"
            where = "" if self.host == socket.gethostname() else f" on {self.host}"
            text = f"process {self.pid}{where} ({self.command[:_LONGEST_COMMAND]}{since})"
            return "".join(letter for letter in text if letter.isprintable())
        return f"process {self.pid}"

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, so that somebody else holds the lock by now; False where that can't be seen."""
        if self.host != socket.gethostname() or os.name != "posix":
            return False
        try:
            os.kill(self.pid, 0)  # which sends nothing
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:
            return False  # another user's
        return False

    @property
    def is_stopped(self) -> bool:
        """Whether it is stopped, as Ctrl-Z does; False where that can't be seen."""
        if self.host != socket.gethostname():
            return False
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
        except (OSError, IndexError):
            return False


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock of a file, which is made and removed again. Where another process has the lock, wait and say for
    whom.

    ``what`` completes "waiting for": what the other process is at. Where the disk has no locks, lock files of the
    package ``filelock`` stand in for them, and that is said.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    attempt = _taken
    try:
        release = _taken(path)
    except NoLocks:
        logger.warning("the disk of %s has no locks (a network disk?): lock files stand in for them", path.parent)
        attempt = _stood_in
        release = _stood_in(path)
    release = release or wait(lambda: attempt(path), lambda: holder_of(path), what)
    try:
        yield
    finally:
        release()


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of a file for the block where it is free, and remove the file; gives whether it was free."""
    release: _Release | None = None
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            release = _taken(path)
        except NoLocks:
            release = _stood_in(path)
    try:
        yield release is not None
    finally:
        if release is not None:
            release()


def _taken(path: Path) -> _Release | None:
    """What lets go of the file's lock; None where somebody else has it. Raises NoLocks."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if lock(descriptor) and names(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, Holder.me().line().encode())
            return lambda: _let_go(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _let_go(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)  # while it is held, so that it is nobody else's
    os.close(descriptor)


def _stood_in(path: Path) -> _Release | None:
    """Hold a lock file in place of a lock; the file of a process that is gone is removed."""
    from filelock import SoftFileLock, Timeout

    path.unlink(missing_ok=True)
    stand_in = SoftFileLock(f"{path}.lock", timeout=0)
    try:
        stand_in.acquire()
    except Timeout:
        return None
    return stand_in.release


def holder_of(path: Path) -> Holder | None:
    """The holder of a file's lock, as far as the file tells."""
    try:
        return Holder.parse(path.read_text(errors="replace").partition("\n")[0])
    except OSError:
        return None


def wait(
    attempt: Callable[[], T | None],
    holder: Callable[[], Holder | None],
    what: str,
    advice: str = "",
    pause_s: float = PAUSE_S,
) -> T:
    """Repeat ``attempt`` until it gives a result. It says for whom it waits after a second, every minute from then on,
    and when that process is stopped or goes on."""
    began, due_s, was_stopped = time.monotonic(), _SAY_AFTER_S, False
    while (found := attempt()) is None:
        seconds, other = time.monotonic() - began, holder()
        is_stopped = other is not None and other.is_stopped
        if seconds >= due_s or (seconds >= _SAY_AFTER_S and is_stopped != was_stopped):
            logger.warning("%s", _waiting(other, what, seconds, advice))
            due_s, was_stopped = seconds + _SAY_EVERY_S, is_stopped
        _pause(pause_s)
    if due_s > _SAY_AFTER_S:
        logger.warning("the wait of %.0f s for %s is over", time.monotonic() - began, what)
    return found


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _waiting(holder: Holder | None, what: str, seconds: float, advice: str) -> str:
    text = f"waiting for {what}: {'another process' if holder is None or holder.is_gone else holder}"
    if seconds >= _SAY_EVERY_S:
        text += f", for {seconds / 60:.0f} min by now"
    if holder is not None and holder.is_stopped:
        text += f"; it is stopped: 'kill -CONT {holder.pid}' lets it go on, 'kill -KILL {holder.pid}' ends it"
    return f"{text}{advice}"
