"""Ctrl-C that gets through: a library may swallow the exception that it raises, and the run would go on."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_seen = False


def watch() -> None:
    """Take note of every Ctrl-C from now on; where it is ignored (a background job), it stays ignored."""
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)


def raise_again() -> None:
    """Raise KeyboardInterrupt if there was a Ctrl-C: whoever comes here after one has not heard of it."""
    if _seen:
        raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    global _seen
    _seen = True
    signal.default_int_handler(number, frame)
