"""Who uses what: locks that end with their process, however it ends.

The kernel drops a flock when its holder is gone, killed ones too. So a folder that its maker has locked is in use, and
one that nobody has locked is left over: no age and no process id has to be judged, and other containers on the same
disk count. Where a disk has no such locks (some network disks), folders are judged by age, and ``locked`` falls back on
lock files.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

STALE_S = 24 * 3600
"""A folder that can't be locked is taken for left over after a day."""
_PAUSE_S = 0.1
_SAY_AFTER_S, _SAY_EVERY_S = 1.0, 60.0
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EBADF, errno.EINVAL)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_LONGEST_COMMAND = 120
_LOCK_FILE = ".lock"


class NoLocks(Exception):
    """This disk, or this system, has no locks."""


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder unless somebody else has; whether that worked. Raises NoLocks.

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

    def add(self, folder: Path) -> None:
        """Mark a folder; raises FileNotFoundError where it is gone. Nothing is marked on a disk without locks."""
        if folder in self._descriptors:
            if _names(folder, self._descriptors[folder]):
                return
            os.close(self._descriptors.pop(folder))
        with suppress(NoLocks):
            self._descriptors[folder] = _marked(folder)

    def close(self) -> None:
        """Let all of them go."""
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
        descriptor = os.open(folder, _FOLDER)
        try:
            if lock(descriptor, shared=True) and _names(folder, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(_PAUSE_S)


def _names(path: Path, descriptor: int) -> bool:
    """Whether the path still names what is open: another process may have removed it, or put another in its place."""
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
def unused(folder: Path) -> Iterator[bool]:
    """Whether nobody uses the folder; as long as the block lasts, nobody can begin to.

    A folder on a disk without locks counts as used.
    """
    try:
        descriptor = os.open(folder, _FOLDER | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        yield False
        return
    try:
        free = lock(descriptor) and _names(folder, descriptor)
    except NoLocks:
        free = age_s(folder) > STALE_S
    try:
        yield free
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove a folder that its maker has left over; one that is another user's, in use or gone stays."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A process that holds a lock, as it says itself."""

    pid: int
    host: str
    command: str
    since: float
    """Seconds since the epoch."""

    @staticmethod
    def me() -> Holder:
        """This process."""
        command = shlex.join(["python", "-m", "pipeline", *sys.argv[1:]])
        return Holder(pid=os.getpid(), host=socket.gethostname(), command=command[:_LONGEST_COMMAND], since=time.time())

    @staticmethod
    def parse(line: str) -> Holder | None:
        """What ``line`` tells; None where it is none of ours."""
        try:
            plain = json.loads(line)
            return Holder(
                pid=int(plain["pid"]),
                host=str(plain["host"]),
                command=str(plain["command"]),
                since=float(plain["since"]),
            )
        except (ValueError, KeyError, TypeError, OverflowError):
            return None

    def line(self) -> str:
        """For a lock's file."""
        return json.dumps(asdict(self)) + "\n"

    def __str__(self) -> str:
        """For a message; what another user's process wrote may hold anything."""
        with suppress(ValueError, OverflowError, OSError):
            since = f", since {datetime.fromtimestamp(self.since):%H:%M:%S}"
            where = "" if self.host == socket.gethostname() else f" on {self.host}"
            text = f"process {self.pid}{where} ({self.command[:_LONGEST_COMMAND]}{since})"
            return "".join(letter for letter in text if letter.isprintable())
        return f"process {self.pid}"

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, so that somebody else holds the lock by now; False where that can't be seen."""
        return (
            self.host == socket.gethostname() and Path("/proc/self").exists() and not Path(f"/proc/{self.pid}").exists()
        )

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
    """Hold the lock of a file, which is made and removed again; wait where another process has it, and say for whom.

    ``what`` completes "waiting for": what the other process is at.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = wait(lambda: try_file(path), lambda: holder_of(path), what)
    except NoLocks:
        with _lock_file(path):
            yield
        return
    try:
        os.write(descriptor, Holder.me().line().encode())
        yield
    finally:
        _let_go(path, descriptor)


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of a file for the block where it is free, and remove the file; whether it was free."""
    from filelock import SoftFileLock, Timeout

    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = try_file(path)
            if descriptor is not None:
                stack.callback(_let_go, path, descriptor)
            free = descriptor is not None
        except NoLocks:
            try:
                stack.enter_context(SoftFileLock(f"{path}{_LOCK_FILE}", timeout=0))
                free = True
            except (Timeout, OSError):
                free = False
        except OSError:
            free = False
        yield free


def _let_go(path: Path, descriptor: int) -> None:
    path.unlink(missing_ok=True)  # while it is held, so that it is nobody else's
    os.close(descriptor)


def try_file(path: Path) -> int | None:
    """A descriptor of the file, emptied and locked; None where somebody else has the lock. Raises NoLocks."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if lock(descriptor) and _names(path, descriptor):
            os.ftruncate(descriptor, 0)
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def holder_of(path: Path) -> Holder | None:
    """Who holds a file's lock, as far as the file says it."""
    try:
        return Holder.parse(path.read_text(errors="replace").partition("\n")[0])
    except OSError:
        return None


def wait(
    attempt: Callable[[], int | None],
    holder: Callable[[], Holder | None],
    what: str,
    advice: str = "",
    pause_s: float = _PAUSE_S,
) -> int:
    """Repeat ``attempt`` until it gives a descriptor. Ctrl-C ends the wait at once.

    Says for whom it waits after a second, and every minute from then on; a process that is stopped is said to be.
    """
    began, said = time.monotonic(), 0
    while (descriptor := attempt()) is None:
        if time.monotonic() - began >= _SAY_AFTER_S + said * _SAY_EVERY_S:
            said += 1
            logger.warning("%s", _waiting(holder(), what, time.monotonic() - began, advice))
        _pause(pause_s)
    if said:
        logger.warning("the wait of %.0f s for %s is over", time.monotonic() - began, what)
    return descriptor


def _pause(seconds: float) -> None:
    time.sleep(seconds)


def _waiting(holder: Holder | None, what: str, seconds: float, advice: str) -> str:
    text = f"waiting for {what}: {'another process' if holder is None or holder.is_gone else holder}"
    if seconds >= _SAY_EVERY_S:
        text += f", for {seconds / 60:.0f} min by now"
    if holder is not None and holder.is_stopped:
        text += f"; it is stopped: 'kill -CONT {holder.pid}' lets it go on, 'kill -KILL {holder.pid}' ends it"
    return f"{text}{advice}"


@contextmanager
def _lock_file(path: Path) -> Iterator[None]:
    """Another process's lock file is waited for, and one of a process that is gone is removed (by ``filelock``)."""
    from filelock import SoftFileLock

    logger.warning("the disk of %s has no locks (a network disk?): lock files stand in for them", path.parent)
    with SoftFileLock(f"{path}{_LOCK_FILE}"):
        yield
