"""Processes that others are forked from, which tests share: each takes a second or more to start."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from pipeline.isolated import run, template
from pipeline.isolated.call import Call
from tests.arriving import LIKE_THE_CALLERS, Placed

IDLE: list[Shared] = []
"""Those that wait, the one that waits longest first."""
MOST = 6
"""So many wait for the next test; each holds what it has imported."""
OURS = ("pytest", "tests.example")
"""What most tests' own stages and data need in addition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared(template._Running):
    """One that waits for the next test in place of ending."""

    key: Any
    """What it has imported and inherited."""

    def close(self) -> None:
        if self.is_gone():
            super(Shared, self).close()
            return
        IDLE.append(self)
        if len(IDLE) > MOST:
            template._Running.close(IDLE.pop(0))

    def is_gone(self) -> bool:
        """Whether the process has ended or is about to, or has said what nobody read: then its socket has something."""
        readable, _, _ = select.select([self.control], [], [], 0)
        return bool(readable)


def end_idle() -> None:
    """End those that wait."""
    while IDLE:
        template._Running.close(IDLE.pop())


def inherited() -> frozenset[tuple[str, str]]:
    """What a process made now would inherit, but for the place, which each call brings along (``arriving``)."""
    return frozenset((name, value) for name, value in os.environ.items() if name not in LIKE_THE_CALLERS)


@contextmanager
def sharing() -> Iterator[None]:
    """Within, a process that ends is kept for the next test whose own would import and inherit the same."""
    start, usual = template._start, Path.cwd()

    def start_or_take(modules: tuple[str, ...]) -> template._Running:
        key = (modules, inherited())
        for place, waiting in enumerate(IDLE):
            if waiting.key == key:
                return IDLE.pop(place)
        if threading.current_thread() is not threading.main_thread():
            return start(modules)  # the system ends it with the thread
        with chdir(usual):  # a test's own folder goes
            made = start((*modules, *OURS))
        return Shared(**{field.name: getattr(made, field.name) for field in fields(made)}, key=key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(template, "_start", start_or_take)
        patch.setattr(sys.modules[run.__module__], "Call", lambda **words: Placed(Call(**words)))
        yield
    end_idle()
