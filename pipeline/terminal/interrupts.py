"""Ctrl-C, SIGTERM and SIGHUP end a run in the same way, and get through whatever a library does meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

PATIENCE_S = 5.0
"""How long a library may keep a signal from Python before the process is ended without it."""
_PAUSE_S = 0.05
_AGAIN_S = 1.0
"""A second signal within this time is taken for the first: a terminal that closes sends several."""
_seen: tuple[int, float] | None = None
"""The first signal and when it came."""


class Stopped(KeyboardInterrupt):
    """A signal that ends the run; ``exit_code`` is what a shell gives a process that the signal has ended."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.number

    def __str__(self) -> str:
        """One line for the terminal."""
        by = "" if self.number == signal.SIGINT else f" by {signal.Signals(self.number).name}"
        return f"stopped{by}; start it again and it continues from the store"


def watch() -> None:
    """Take note of every such signal from now on; a signal that is ignored (nohup, a background job) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    watched = [number for number in _signals() if _is_default(number)]
    for number in watched:
        signal.signal(number, _note)
    if watched and os.name == "posix":
        _end_if_kept(watched)
        os.register_at_fork(after_in_child=_forget)


def raise_again() -> None:
    """Raise Stopped if there was a signal: the caller may not have heard of it."""
    if _seen is not None:
        raise Stopped(_seen[0])


def _signals() -> Sequence[int]:
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def _is_default(number: int) -> bool:
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def _note(number: int, frame: FrameType | None) -> None:
    global _seen
    now = time.monotonic()
    if _seen is not None and now - _seen[1] < _AGAIN_S:
        return
    _seen = number, now
    raise Stopped(number)


def _forget() -> None:
    """Forget the signals in a process that was forked off, as a user's data set may do: they are its own, and no word
    to us."""
    signal.set_wakeup_fd(-1)
    for number in _signals():
        if signal.getsignal(number) is _note:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _end_if_kept(watched: Sequence[int]) -> None:
    """Python hears of a signal only between two of its own steps: where a library keeps it, a thread ends the process.

    The thread sleeps until the system itself writes the signal's number into a pipe.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_end, args=(reader, watched), daemon=True, name="signals").start()


def _end(reader: int, watched: Sequence[int]) -> None:
    while True:
        [number] = os.read(reader, 1)
        if number not in watched:
            continue
        deadline = time.monotonic() + PATIENCE_S
        while _seen is None and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
        if _seen is None:
            _say(f"slimline: {Stopped(number)}")
            os._exit(Stopped(number).exit_code)


def _say(line: str) -> None:
    """Also where Python's own streams are taken; a terminal gets back its cursor, which progress bars hide."""
    cursor = "\033[?25h" if os.isatty(2) else ""
    with suppress(OSError):
        os.write(2, f"{cursor}\n{line}\n".encode())
