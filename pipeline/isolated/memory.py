"""Reads how much memory a process holds, with all processes that it has started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def resident_bytes(pid: int) -> int | None:
    """The memory of a process and its descendants together; None where the system doesn't say.

    It is resident, not virtual, memory: runtimes reserve far more addresses than they ever use.
    """
    sizes = [size for each in _family(pid) if (size := _resident(each)) is not None]
    return sum(sizes) if sizes else None


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in _threads(pid):
        for child in _read(thread / "children").split():
            yield from _family(int(child))


def _threads(pid: int) -> list[Path]:
    """The folders of its threads; none where it ends meanwhile."""
    try:
        return list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _resident(pid: int) -> int | None:
    fields = _read(_PROC / str(pid) / "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else None


def _read(path: Path) -> str:
    """Empty where it is gone: processes end while they are looked at."""
    try:
        return path.read_text()
    except OSError:
        return ""
