"""Locks that tell who uses a folder or a file, and that end with their process, however it ends.

The kernel drops a flock when its holder is gone, killed ones too. So a folder that its maker has locked is in use, and
one that nobody has locked is left over: no age and no process id has to be judged, and other containers on the same
disk count. Where a disk has no such locks (some network disks), folders are judged by age.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

STALE_S = 24 * 3600
"""A folder that can't be locked is taken for left over after a day."""
_PAUSE_S = 0.1
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EBADF, errno.EINVAL)


class NoLocks(Exception):
    """Raised where this disk, or this system, has no locks."""


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder unless somebody else has locked it; returns whether that worked. Raises NoLocks.

    A shared lock keeps only exclusive ones out. It ends when the descriptor is closed.
    """
    if sys.platform == "win32":
        raise NoLocks
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            raise NoLocks from error
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


class InUse:
    """Folders that this process uses: nobody removes one of them until this is closed."""

    def __init__(self) -> None:
        self._descriptors: dict[Path, int] = {}
        self._adding = Lock()

    def add(self, folder: Path) -> None:
        """Mark a folder; raises FileNotFoundError where it is gone. Nothing is marked on a disk without locks."""
        with self._adding, suppress(NoLocks):
            if folder in self._descriptors:
                if names(folder, self._descriptors[folder]):
                    return
                os.close(self._descriptors.pop(folder))
            self._descriptors[folder] = _marked(folder)

    def close(self) -> None:
        """Let all folders go."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _marked(folder: Path) -> int:
    """A descriptor of the folder with a shared lock; whoever removes folders holds theirs for a moment only."""
    while True:
        descriptor = _open(folder)
        try:
            if lock(descriptor, shared=True) and names(folder, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(_PAUSE_S)


def _open(folder: Path, flags: int = os.O_RDONLY) -> int:
    if sys.platform == "win32":  # which opens no folders
        raise NoLocks
    return os.open(folder, flags | os.O_DIRECTORY)


def names(path: Path, descriptor: int) -> bool:
    """Whether the path still names the open file or folder: another process may have removed it, or put another in its
    place."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))  # noqa: PTH116
    except FileNotFoundError:
        return False


@contextmanager
def owned_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder that is in use until the block ends, and is removed then."""
    with InUse() as mark:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            with suppress(FileNotFoundError):  # whoever sweeps was faster than the mark
                mark.add(folder)
                break
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def exclusively(folder: Path, *, follow: bool = True) -> Iterator[bool | None]:
    """Hold the exclusive lock of a folder for the block. Gives whether nobody else uses the folder; None where that
    can't be known.

    Raises OSError for what is no folder; without ``follow`` that counts as used, and so does a link.
    """
    descriptor: int | None = None
    try:
        descriptor = _open(folder, os.O_RDONLY if follow else os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        free: bool | None = lock(descriptor) and names(folder, descriptor)
    except NoLocks:
        free = None
    except OSError:
        if follow:
            raise
        free = False
    try:
        yield free
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def unused(folder: Path) -> Iterator[bool]:
    """Whether nobody uses the folder; nobody can begin to as long as the block lasts.

    On a disk without locks a folder counts as used for a day.
    """
    with exclusively(folder, follow=False) as free:
        yield age_s(folder) > STALE_S if free is None else free


def sweep(folder: Path) -> None:
    """Remove a folder that its maker has left over; a folder that is another user's, in use or gone stays as it is."""
    with suppress(OSError):
        if hasattr(os, "getuid") and folder.lstat().st_uid != os.getuid():
            return
        with unused(folder) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)


def age_s(path: Path) -> float:
    """Seconds since the newest change in a folder; a change in the future, after the clock was set back, is as old as
    it is ahead."""
    times = [path.lstat().st_mtime]
    for inside in path.rglob("*"):
        with suppress(OSError):
            times.append(inside.lstat().st_mtime)
    return min(abs(time.time() - changed) for changed in times)
