"""What else the machine did while a block was timed, where the system tells; None where it does not."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.machine.cgroup import throttled_periods
from pipeline.machine.cpu_ticks import of_all_cores
from pipeline.machine.heat import celsius, clock_mhz

SUPPLIES = Path("/sys/class/power_supply")
_SUSPENDED_S = 0.1


class Snapshot(NamedTuple):
    """Counters of the machine at one moment."""

    steal_ticks: int | None
    throttled: int | None
    suspended_s: float | None


def snapshot() -> Snapshot:
    """Read the counters."""
    ticks = of_all_cores()
    return Snapshot(None if ticks is None else ticks.stolen, throttled_periods(), _suspended_s())


def block_telemetry(before: Snapshot, after: Snapshot, cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A block's entry: what the counters have risen by, and the levels of load, clock, temperature and battery."""
    return {
        "steal_ticks": _rise(before.steal_ticks, after.steal_ticks),
        "run_delay_ns": _total(cell["run_delay_ns"] for cell in cells),
        "throttled": _rise(before.throttled, after.throttled),
        "major_faults": _total(cell["major_faults"] for cell in cells),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        **levels(),
        "dropped": _hard_event(before, after),
    }


def levels(supplies: Path = SUPPLIES) -> dict[str, Any]:
    """Clock, temperature and battery (%); what the system does not tell is None, a battery is left out."""
    charges = [charge for path in supplies.glob("*/capacity") if (charge := _number(path)) is not None]
    return {
        "celsius": celsius(),
        "clock_mhz": clock_mhz(),
        **({"battery_percent": min(charges)} if charges else {}),
    }


def _hard_event(before: Snapshot, after: Snapshot) -> str | None:
    """What spoils a block whatever its times were."""
    if _rise(before.throttled, after.throttled):
        return "the control group's processor quota was used up"
    if before.suspended_s is not None and after.suspended_s is not None:
        return "the machine was suspended" if after.suspended_s - before.suspended_s > _SUSPENDED_S else None
    return None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None


def _rise(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _suspended_s() -> float | None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
