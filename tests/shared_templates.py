"""Processes that others are forked from, which tests share: each takes a second or more to start."""

from __future__ import annotations

import os
import select
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


def inherited() -> tuple[Any, ...]:
    """All that a process made now would inherit; pytest's own word of the current test is none of it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return (frozenset(environment.items()), tuple(sys.path), folders())


def folders() -> tuple[str, str]:
    """Where this process works, and where it keeps temporary files."""
    return str(Path.cwd()), tempfile.gettempdir()


@contextmanager
def sharing() -> Iterator[None]:
    """Within, a process that ends is kept for the next test whose own would import and inherit the same. One that
    works in a test's own folder is not: no other test has that folder."""
    start, usual = template._start, folders()

    def start_or_take(modules: tuple[str, ...]) -> template._Running:
        key = (modules, inherited())
        for place, waiting in enumerate(IDLE):
            if waiting.key == key:
                return IDLE.pop(place)
        if threading.current_thread() is not threading.main_thread() or folders() != usual:
            return start(modules)  # the system ends it with the thread
        made = start((*modules, *OURS))
        return Shared(**{field.name: getattr(made, field.name) for field in fields(made)}, key=key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(template, "_start", start_or_take)
        yield
    end_idle()
