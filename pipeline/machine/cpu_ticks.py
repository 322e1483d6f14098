"""The system's count of its cores' time: /proc/stat, in ticks of 10 ms. A kit carries this file to Python 3.9."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_STAT = Path("/proc/stat")
_IDLE = slice(3, 5)
"""The numbers of a line that count idle time: idle, and waiting for the disk."""
_STEAL = 7
_COUNTED = 8
"""Guest time, in the numbers after these, is part of the first two already."""


class Ticks(NamedTuple):
    """Ticks since the machine was started."""

    total: int
    idle: int
    stolen: int
    """Ticks in which the core was ready to run, but the hypervisor ran something else."""


def of_all_cores() -> Ticks | None:
    """The ticks of all cores together; None where the system doesn't count its time."""
    return next((ticks for name, ticks in _lines(1) if name == "cpu"), None)


def of_each_core() -> dict[int, Ticks]:
    """The ticks of each core, by its number; empty where the system doesn't count its time."""
    return {
        int(name.removeprefix("cpu")): ticks for name, ticks in _lines() if name.startswith("cpu") and name != "cpu"
    }


def _lines(most: int = -1) -> list[tuple[str, Ticks]]:
    try:
        lines = _STAT.read_text().split("\n", most)
    except OSError:
        return []
    found = []
    for line in lines[: most if most > 0 else None]:
        name, *numbers = line.split() or [""]
        if name.startswith("cpu") and len(numbers) >= _COUNTED:
            ticks = [int(number) for number in numbers[:_COUNTED]]
            found.append((name, Ticks(sum(ticks), sum(ticks[_IDLE]), ticks[_STEAL])))
    return found
