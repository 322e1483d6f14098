"""How quiet the machine is: what the hypervisor took and how busy the cores were while we did nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = slice(3, 5)
"""The numbers of the ``cpu`` line that count idle time: idle, and waiting for the disk."""
_STEAL = 7
_COUNTED = 8
"""Guest time, in the numbers after these, is part of the first two already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Shares of all cores' time, 0 to 1."""

    stolen: float
    """Ready to run, but the hypervisor ran something else."""
    busy: float
    """Worked for whomever."""


def sample_quiet(seconds: float, sleep: Callable[[float], None] = time.sleep) -> Quiet | None:
    """Watch for so long without working; None where the system doesn't count its time."""
    before = _ticks()
    sleep(seconds)
    after = _ticks()
    if before is None or after is None:
        return None
    spent = [late - early for early, late in zip(before, after, strict=True)]
    total = sum(spent)
    if total <= 0:
        return None
    return Quiet(stolen=spent[_STEAL] / total, busy=(total - sum(spent[_IDLE]) - spent[_STEAL]) / total)


def _ticks() -> list[int] | None:
    try:
        fields = _STAT.read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    return [int(field) for field in fields[:_COUNTED]] if len(fields) >= _COUNTED else None
