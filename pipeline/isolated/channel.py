"""Connects two processes: Python objects over two pipes. Reading blocks, so that neither ever spins."""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1
_FIRST_TO_GO = "1000"
_COUNT, _SIZE = struct.Struct("<I"), struct.Struct("<Q")
_AT_ONCE = 2**20
_MOST_PARTS = 2**24


class Garbled(Exception):
    """Raised where the input is no message: something else has written into the pipe, or a class can't be found
    here."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One end of a connection: an object that is sent comes out of ``receive`` at the other end, in order.

    A message is its pickle and, beside it, the large arrays in it, which are not copied on their way.
    """

    reader: BinaryIO
    writer: BinaryIO

    @staticmethod
    def over(read_fd: int, write_fd: int) -> Channel:
        """Take over two file descriptors."""
        return Channel(os.fdopen(read_fd, "rb", 0), os.fdopen(write_fd, "wb"))

    def send(self, message: Any) -> None:
        """Write one object; raises BrokenPipeError when the other end is gone."""
        arrays: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(message, 5, buffer_callback=arrays.append)
        parts: list[bytes | memoryview] = [pickled, *(array.raw() for array in arrays)]
        self.writer.write(_COUNT.pack(len(parts)) + b"".join(_SIZE.pack(len(part)) for part in parts))
        for part in parts:
            self.writer.write(part)
        self.writer.flush()

    def receive(self, seconds: float | None = None) -> Any:
        """Block until one object is there, ``seconds`` at most.

        Raises EOFError when the other end is gone, in the middle of a message, too; TimeoutError when the time is up;
        and Garbled for a message that can't be read.
        """
        until = None if seconds is None else time.monotonic() + seconds
        (count,) = _COUNT.unpack(self._read(_COUNT.size, until))
        if not 0 < count <= _MOST_PARTS:
            raise Garbled("bytes that begin no message")
        sizes = [_SIZE.unpack(self._read(_SIZE.size, until))[0] for _ in range(count)]
        pickled, *arrays = [self._read(size, until) for size in sizes]
        try:
            return pickle.loads(pickled, buffers=arrays)
        except Exception as error:
            raise Garbled(f"{type(error).__name__}: {error}") from error

    def ready(self, seconds: float) -> bool:
        """Whether a message, or the end, begins to come in within this many seconds."""
        return _readable(self.reader.fileno(), seconds)

    def close(self) -> None:
        """Close both directions, whatever state the other end is in."""
        for direction in (self.writer, self.reader):
            try:
                direction.close()
            except BrokenPipeError:
                # Closing flushes what was left of a failed send; the descriptor is closed all the same.
                continue

    def _read(self, size: int, until: float | None) -> bytearray:
        """Read this many bytes. A buffer would hide from ``select`` what has come in already, so there is none."""
        found = bytearray()
        for piece in self._pieces(size, until):
            found += piece
        return found

    def _pieces(self, size: int, until: float | None) -> Iterator[bytes]:
        left = size
        while left:
            self._wait(until)
            piece = os.read(self.reader.fileno(), min(left, _AT_ONCE))
            if not piece:
                raise EOFError
            left -= len(piece)
            yield piece

    def _wait(self, until: float | None) -> None:
        """Until there is something to read; a blocking read waits by itself."""
        if until is not None and not self.ready(until - time.monotonic()):
            raise TimeoutError


def _readable(descriptor: int, seconds: float) -> bool:
    if not hasattr(select, "poll"):  # no system but POSIX waits for a pipe; there, reading waits without a limit
        return True
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(max(0.0, seconds) * 1000))


def take_standard_streams() -> Channel:
    """A channel over stdin and stdout of this process; what a library prints goes to stderr from now on."""
    channel = Channel.over(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return channel


def follow_parent(parent: int | None = None) -> None:
    """Leave Ctrl-C to the parent, and end with it even if it ends without a word (where the system can do that).

    ``parent``: its process id, where it is known: it may have ended before this was called.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):  # where memory runs out, the system ends this process and not its parent
            Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    if parent is not None and os.getppid() != parent:
        os._exit(1)
