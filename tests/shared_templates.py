"""Processes that others are forked from, which tests share: each takes a second or more to start."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from pipeline.isolated import template

IDLE: dict[Any, Shared] = {}
"""Those that wait, by what they have imported and inherited."""
MOST = 3
"""So many wait for the next test; each holds what it has imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared(template._Running):
    """One that waits for the next test in place of ending."""

    key: Any

    def close(self) -> None:
        if self.is_gone() or self.key in IDLE:
            super(Shared, self).close()
            return
        IDLE[self.key] = self
        if len(IDLE) > MOST:
            template._Running.close(IDLE.pop(next(iter(IDLE))))

    def is_gone(self) -> bool:
        """Whether the process has ended or is about to, or has said what nobody read: then its socket has something."""
        try:
            self.control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def end_idle() -> None:
    """End those that wait."""
    while IDLE:
        template._Running.close(IDLE.popitem()[1])


def inherited() -> tuple[Any, ...]:
    """All that a process made now would inherit; pytest's own word of the current test is none of it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return (frozenset(environment.items()), tuple(sys.path), Path.cwd(), tempfile.gettempdir())


@contextmanager
def sharing() -> Iterator[None]:
    """Within, a process that ends is kept for the next test whose own would import and inherit the same."""
    start = template._start

    def start_or_take(modules: tuple[str, ...]) -> template._Running:
        key = (modules, inherited())
        if key in IDLE:
            return IDLE.pop(key)
        made = start(modules)
        if threading.current_thread() is not threading.main_thread():
            return made  # the system ends it with the thread
        return Shared(**{field.name: getattr(made, field.name) for field in fields(made)}, key=key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(template, "_start", start_or_take)
        yield
    end_idle()
