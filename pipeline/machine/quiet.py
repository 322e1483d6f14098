"""Watches how quiet the machine is: the time that the hypervisor took, and how busy the cores were while we did
nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.machine.cpu_ticks import of_all_cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Shares of all cores' time, 0 to 1."""

    stolen: float
    """The share in which a core was ready to run, but the hypervisor ran something else."""
    busy: float
    """The share in which a core worked, for any process."""


def sample_quiet(seconds: float, sleep: Callable[[float], None] = time.sleep) -> Quiet | None:
    """Watch for this many seconds without working; None where the system doesn't count its time."""
    before = of_all_cores()
    sleep(seconds)
    after = of_all_cores()
    if before is None or after is None:
        return None
    total, stolen = after.total - before.total, after.stolen - before.stolen
    if total <= 0:
        return None
    return Quiet(stolen=stolen / total, busy=(total - (after.idle - before.idle) - stolen) / total)
