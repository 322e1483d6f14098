"""What else the machine did while a block was timed, where the system tells; None where it does not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.machine.cgroup import throttled_periods
from pipeline.machine.counters import difference, load_average, suspended_s, total
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
    return Snapshot(None if ticks is None else ticks.stolen, throttled_periods(), suspended_s())


def block_telemetry(
    before: Snapshot, after: Snapshot, cells: Sequence[Mapping[str, Any]], cores: Collection[int] | None = None
) -> dict[str, Any]:
    """A block's entry: what the counters have risen by, and the levels of load, clock, temperature and battery."""
    return {
        "steal_ticks": difference(before.steal_ticks, after.steal_ticks),
        "run_delay_ns": total(cell["run_delay_ns"] for cell in cells),
        "throttled": difference(before.throttled, after.throttled),
        "major_faults": total(cell["major_faults"] for cell in cells),
        "load": load_average(),
        **levels(cores=cores),
        "dropped": _hard_event(before, after),
    }


def levels(supplies: Path = SUPPLIES, cores: Collection[int] | None = None) -> dict[str, Any]:
    """Temperature, the clock of these cores (None: all) and battery (%); what the system does not tell is None, a
    battery is left out."""
    charges = [charge for path in supplies.glob("*/capacity") if (charge := _number(path)) is not None]
    return {
        "celsius": celsius(),
        "clock_mhz": clock_mhz(cores=cores),
        **({"battery_percent": min(charges)} if charges else {}),
    }


def _hard_event(before: Snapshot, after: Snapshot) -> str | None:
    """What spoils a block whatever its times were."""
    if difference(before.throttled, after.throttled):
        return "the control group's processor quota was used up"
    if before.suspended_s is not None and after.suspended_s is not None:
        return "the machine was suspended" if after.suspended_s - before.suspended_s > _SUSPENDED_S else None
    return None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
