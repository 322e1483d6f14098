"""The system's counters for this process; None where the system doesn't say."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

_TASKS = Path("/proc/self/task")
_STATUS = Path("/proc/self/status")


def run_delay_ns() -> int | None:
    """How long this process's threads have waited for a core so far (``/proc/self/schedstat`` is one thread's).

    A thread that ends between being listed and being read is left out, and the others still count.
    """
    found = [delay for task in _listed(_TASKS) if (delay := _delay_ns(task)) is not None]
    return sum(found) if found else None


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _delay_ns(task: Path) -> int | None:
    try:
        return int((task / "schedstat").read_text().split()[1])
    except OSError:
        return None


def peak_resident_bytes() -> int | None:
    """The most memory that this process has held, or None where the system doesn't say."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def major_faults() -> int | None:
    """The number of times that this process has waited for a page from the disk so far."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def load_average() -> float | None:
    """The load of the last minute, or None where the system doesn't say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def suspended_s() -> float | None:
    """How long the machine has slept since it was started, or None where the system doesn't say."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def total(readings: Iterable[int | None]) -> int | None:
    """The sum of the readings that are known; None where none is."""
    known = [reading for reading in readings if reading is not None]
    return sum(known) if known else None


def difference(before: int | None, after: int | None) -> int | None:
    """The difference of two readings of the whole machine."""
    return None if before is None or after is None else after - before


def increase(before: int | None, after: int | None) -> int | None:
    """The difference of two readings, never below 0: a thread that ends takes its share of the total with it."""
    return None if before is None or after is None else max(0, after - before)
