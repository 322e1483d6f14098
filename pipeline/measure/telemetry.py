"""Records what else the machine did while a block was timed.

Steal, run delay, faults and load are recorded and reported, and drop no block: blocks with much run delay were no worse
than the rest. Only a hard event drops a block, whatever the block's times were.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.machine.card import Card, CardState
from pipeline.machine.cgroup import throttled_periods
from pipeline.machine.counters import difference, load_average, suspended_s, total
from pipeline.machine.cpu_ticks import of_all_cores
from pipeline.machine.heat import celsius, clock_mhz
from pipeline.measure.workers.worker import Timed

_SUSPENDED_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Counters of the machine at one moment; None where the system doesn't have them."""

    steal_ticks: int | None
    """Time that the hypervisor took, over all cores, in ticks of 10 ms."""
    throttled: int | None
    """Periods in which the control group was held back."""
    suspended_s: float | None
    """How long the machine has slept since it was started."""
    card: CardState | None = None
    """The card's state; None: nothing is timed on a graphics card, or NVML can't be used."""


def snapshot(card: Card | None = None) -> Snapshot:
    """Read the counters, and the state of the card that is timed on."""
    ticks = of_all_cores()
    return Snapshot(
        steal_ticks=None if ticks is None else ticks.stolen,
        throttled=throttled_periods(),
        suspended_s=suspended_s(),
        card=None if card is None else card.state(),
    )


def block_telemetry(
    before: Snapshot, after: Snapshot, timed: Sequence[Timed], cores: Collection[int] | None = None
) -> dict[str, Any]:
    """A block's entry: the counters' increase, the cells' totals, the load, the temperature and the clock of the
    ``cores`` that were timed on (None: all), on a graphics card its clock and how many processes compute on it beside
    those that are timed, and ``dropped``: the reason, or None."""
    card = {}
    if after.card is not None:
        processes = after.card.processes
        card = {
            "sm_clock_mhz": after.card.sm_clock_mhz,
            "foreign_processes": None if processes is None else max(0, processes - len(timed)),
        }
    return {
        "steal_ticks": difference(before.steal_ticks, after.steal_ticks),
        "run_delay_ns": total(cell.run_delay_ns for cell in timed),
        "throttled": difference(before.throttled, after.throttled),
        "major_faults": total(cell.major_faults for cell in timed),
        "load": load_average(),
        "celsius": celsius(),
        "clock_mhz": clock_mhz(cores=cores),
        **card,
        "dropped": _hard_event(before, after),
    }


def _hard_event(before: Snapshot, after: Snapshot) -> str | None:
    if difference(before.throttled, after.throttled):
        return "the control group's processor quota was used up"
    if before.suspended_s is not None and after.suspended_s is not None:
        slept_s = after.suspended_s - before.suspended_s
        if slept_s > _SUSPENDED_S:
            return "the machine was suspended"
    return _card_event(before.card, after.card)


def _card_event(before: CardState | None, after: CardState | None) -> str | None:
    if before is None or after is None:
        return None
    slowdown = before.slowdown or after.slowdown
    if slowdown is not None:
        return f"the graphics card was slowed down by {slowdown}"
    if before.processes is not None and after.processes is not None and after.processes > before.processes:
        return "another process came to the graphics card"
    return None
