"""How much energy an inference takes, read from a counter of the hardware; never estimated from a rated power.

On the CPU that is RAPL (whole processor packages, through Linux's powercap), on an NVIDIA GPU the driver's counter (the
whole card). The figure contains everything that runs there, and nothing is subtracted for idling.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import reasoned
from pipeline.machine.energy_counters import POWERCAP, energy_counter
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.worker import State, time_calls
from pipeline.plan import Device

_WARMUP_CALLS = 10
_WARMUP_NS = 200_000_000
_NS_PER_S = 1e9


def energy_of(
    worker: Worker, device: Device, batch_size: int, seconds: float | None, powercap: Path = POWERCAP
) -> dict[str, Any]:
    """Have a worker run its model back to back for ``seconds``, and read the counter before and after.

    Returns plain values: joules_per_inference (of one example), watts, seconds, calls and source; or the reason why
    energy was not measured. Nothing is run where no counter can be read.
    """
    if seconds is None:
        return _not_measured("measure.energy_s is null")
    reasons: list[str] = []
    with reasoned(lambda error: reasons.append(str(error))):
        with energy_counter(device, powercap):
            pass
        used: Used = worker.ask(UseEnergy(device=device, seconds=seconds, powercap=powercap), seconds)
    if reasons:
        return _not_measured(reasons[0])
    if not used.joules:
        return _not_measured(f"{used.source} stood still for {used.seconds:.3g} s")
    return {
        "joules_per_inference": used.joules / (used.calls * batch_size),
        "watts": used.joules / used.seconds,
        "seconds": used.seconds,
        "calls": used.calls,
        "source": used.source,
    }


def _not_measured(reason: str) -> dict[str, Any]:
    return {"reason": f"not measured: {reason}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """The increase of the counter while the model ran."""

    joules: float
    seconds: float
    calls: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UseEnergy:
    """The worker's part: warm the model up, and run it back to back between two readings of the counter."""

    device: Device
    seconds: float
    powercap: Path = POWERCAP

    def __call__(self, state: State) -> Used:
        """Measure; raises Skipped where the counter can't be read."""
        session, _ = state.loaded
        time_calls(session, state.feeds(), _WARMUP_CALLS, _WARMUP_NS)
        with energy_counter(self.device, self.powercap) as counter:
            before, start = counter.read(), time.perf_counter_ns()
            calls = len(time_calls(session, state.feeds(), 1, round(self.seconds * _NS_PER_S)))
            after, end = counter.read(), time.perf_counter_ns()
        return Used(
            joules=counter.joules(before, after), seconds=(end - start) / _NS_PER_S, calls=calls, source=counter.source
        )
