"""How the parent and a measuring process talk: Python objects over two pipes, blocking, so that neither ever spins."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from dataclasses import dataclass
from typing import Any, BinaryIO

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Channel:
    """One end: what is sent comes out of ``receive`` at the other, in order."""

    reader: BinaryIO
    writer: BinaryIO

    @staticmethod
    def over(read_fd: int, write_fd: int) -> Channel:
        """Take over two file descriptors."""
        return Channel(os.fdopen(read_fd, "rb"), os.fdopen(write_fd, "wb"))

    def send(self, message: Any) -> None:
        """Write one object; raises BrokenPipeError when the other end is gone."""
        pickle.dump(message, self.writer, protocol=5)
        self.writer.flush()

    def receive(self) -> Any:
        """Block until one object is there; raises EOFError when the other end is gone."""
        try:
            return pickle.load(self.reader)
        except pickle.UnpicklingError as error:
            # The other end may die in the middle of a message.
            raise EOFError from error

    def close(self) -> None:
        """Close both directions, whatever state the other end is in."""
        for direction in (self.writer, self.reader):
            try:
                direction.close()
            except BrokenPipeError:
                # Closing flushes what was left of a failed send; the descriptor is closed all the same.
                continue


def take_standard_streams() -> Channel:
    """A channel over stdin and stdout of this process; what a library prints goes to stderr from now on."""
    channel = Channel.over(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return channel


def follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it ends without a word (where the system can do that)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
