"""Calls that places are tried with."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import StageFailed
from pipeline.isolated import Limits
from pipeline.plan import PlacedCall

T = TypeVar("T")


def placed(function: Callable[..., T], *arguments: Any, **more: Any) -> PlacedCall[T]:
    """A call for a place, without limits unless ``more`` has some."""
    return PlacedCall(function=function, arguments=arguments, **{"limits": Limits(), **more})


def here(value: str) -> tuple[str, int, list[int]]:
    """The value, and which process on which cores this is."""
    return value, os.getpid(), sorted(os.sched_getaffinity(0))


def met(own: Path, other: Path) -> bool:
    """Whether another call is under way at the same time: each says that it is there, and waits for the other."""
    own.touch()
    for _ in range(600):
        if other.exists():
            return True
        time.sleep(0.05)
    return False


def saying(*, say: Callable[[Any], None]) -> str:
    """Say how far it is."""
    say((0.5, "half way"))
    return "done"


def failing() -> None:
    """Fail as a stage does."""
    raise StageFailed("a layer has no weights")


def filling(path: Path) -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def dying_once(mark: Path) -> str:
    """Die like a process whose node goes down, the first time only."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def hanging_once(mark: Path) -> str:
    """Hang like a process whose node is cut off, the first time only."""
    if not mark.exists():
        mark.touch()
        time.sleep(600)
    mark.write_text("again")
    return "alive"


def endless(started: Path) -> None:
    """Run until it is ended."""
    started.write_text(str(os.getpid()))
    time.sleep(600)
