"""One measuring at a time on a machine: two that run side by side time each other.

Two runs on two cores made p99 58 to 88 % longer while each one's own checks passed, as both sides of every ratio suffer
alike. So all timing holds the lock of a file that all users of the machine share. It is held for a whole measuring
phase, not round by round: a run's budget, its caches and the machine's clock stay its own, and a run that waits knows
for whom. The lock ends with its process. The file stays: in a folder that all may write, nobody could remove another
user's file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.folders.locks import NoLocks, lock, names
from pipeline.folders.waiting import Holder, wait

FOLDER = "SLIMLINE_LOCKS"
"""The environment variable that names the lock's folder, for containers that share a machine and none of the usual
folders."""
NAME = "slimline-measuring.lock"
_HELD = "SLIMLINE_MEASURES"
"""Set while this process, or one that has started it, measures."""
_SHARED = ("/run/lock", "/dev/shm", "/tmp", "/var/tmp")
"""Folders that all users of a machine may write."""
_EVERYBODY = stat.S_ISVTX | stat.S_IWOTH
_PAUSE_S = 1.0
"""Looking more often would wake a core that belongs to the run that measures."""
_OPEN = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) if os.name == "posix" else 0
_MOST_BYTES = 2**16
WHAT = "another run that measures on this machine"


@contextmanager
def measuring(exclusive: bool) -> Iterator[list[str]]:
    """Wait until nobody else measures on this machine, and keep others waiting until the block ends.

    Without ``exclusive`` it begins at once. Gives a list. Until the block has ended, it gets what a reader of the
    figures must know: who else measured, or why that is not known. Within another such block, of this process or of one
    that has started it, it does nothing.
    """
    said: list[str] = []
    if os.environ.get(_HELD):
        yield said
        return
    with _turn(_place(), exclusive, said):
        os.environ[_HELD] = str(os.getpid())
        try:
            yield said
        finally:
            del os.environ[_HELD]


@contextmanager
def _turn(path: Path | None, exclusive: bool, said: list[str]) -> Iterator[None]:
    if not exclusive:
        said.append("this run did not wait for others that measure (measure.exclusive=false)")
    try:
        held = None if path is None else _held(path, exclusive)
    except NoLocks:
        path = held = None
    if path is None:
        said.append("whether another run measured at the same time is not known: the machine has no place for a lock")
        yield
        return
    if held is None:
        said.append(_beside(next(iter(_holders(path)), None)))
        _write(path, os.O_APPEND)
        yield
        return
    try:
        _write(path, os.O_TRUNC)
        yield
    finally:
        said += [_beside(other) for other in _joined(path)]
        _write(path, os.O_TRUNC, "")
        os.close(held)


def _held(path: Path, exclusive: bool) -> int | None:
    """The lock; None where another run has it and is not waited for. Raises NoLocks."""
    if not exclusive:
        return _locked(path)
    advice = "; measure.exclusive=false measures at once"
    return wait(lambda: _locked(path), lambda: next(iter(_holders(path)), None), WHAT, advice, _PAUSE_S)


def _locked(path: Path) -> int | None:
    descriptor = _opened(path)
    if descriptor is None:
        raise NoLocks
    try:
        if lock(descriptor) and names(path, descriptor):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _place() -> Path | None:
    """The lock's file: in the first folder that all users may write and that lets this one open it."""
    chosen = os.environ.get(FOLDER)
    folders = [Path(chosen)] if chosen else [folder for folder in map(Path, _SHARED) if _is_shared(folder)]
    for path in (folder / NAME for folder in folders):
        descriptor = _opened(path)
        if descriptor is not None:
            os.close(descriptor)
            return path
    return None


def _is_shared(folder: Path) -> bool:
    try:
        return folder.stat().st_mode & _EVERYBODY == _EVERYBODY
    except OSError:
        return False


def _opened(path: Path) -> int | None:
    """The file, made where it is missing, for all users whatever this one's umask is; None where that can't be done.

    Opened before it is made: Linux refuses to "make" another user's file in a folder like /tmp (fs.protected_regular).
    Reading is enough for a lock.
    """
    for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDWR, os.O_RDONLY):
        with suppress(OSError):
            descriptor = os.open(path, flags | _OPEN, 0o666)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                if flags & os.O_CREAT:
                    os.chmod(descriptor, 0o666)  # noqa: PTH101
                return descriptor
            os.close(descriptor)
            return None
    return None


def _write(path: Path, how: int, line: str | None = None) -> None:
    """Say who measures; where another user's file can't be written, nobody is told."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | how | _OPEN)
        try:
            os.write(descriptor, (Holder.me().line() if line is None else line).encode())
        finally:
            os.close(descriptor)


def _holders(path: Path) -> Sequence[Holder]:
    """Who measures, the one that holds the lock first."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return []
    return [holder for line in text.splitlines() if (holder := Holder.parse(line)) is not None]


def _joined(path: Path) -> Sequence[Holder]:
    """Who did not wait for this process: those that have written behind its own line, each once."""
    holders = _holders(path)
    own = next((place for place, holder in enumerate(holders) if holder.pid == os.getpid()), len(holders))
    return list({holder.pid: holder for holder in holders[own + 1 :]}.values())


def _beside(other: Holder | None) -> str:
    return f"{other or 'another run'} measured at the same time: tails and throughput may be the machine's"
