"""Measures what is not interleaved: how much memory a row needs, the energy that it takes, and where its time goes.

A fresh process runs only this one model, before anything is timed. Memory comes first, because the other measurements
would add to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.machine.card import card_of
from pipeline.machine.counters import increase
from pipeline.machine.energy_counters import POWERCAP
from pipeline.measure.cores import cores_for
from pipeline.measure.energy import energy_of
from pipeline.measure.profile import profile_of
from pipeline.measure.settling import settling_of
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.worker import Job, Load, Loaded, PeakMemory, Pin

_CALLS, _LIMIT_S = 20, 3.0
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakBytes:
    """The most memory that was held; None where the system doesn't say."""

    host: int | None
    device: int | None
    """The rise of a graphics card's used memory: it includes the runtime's own context, memory kept for the next call,
    and anything else that came to the card meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solo:
    """The measurements of a row by itself."""

    peak: PeakBytes
    energy: dict[str, Any]
    """The energy (``energy_of``)."""
    profile: dict[str, Any] | None
    """The profile (``profile_of``); None: not asked for."""
    settling: dict[str, Any] | None
    """Whether later calls take what the first ones take (``settling_of``)."""


def run_alone(
    worker: Worker,
    job: Job,
    batch_size: int,
    *,
    energy_s: float | None = None,
    profiled: bool = False,
    powercap: Path = POWERCAP,
) -> Solo:
    """Measure a row in a fresh process that has imported the runtime: it loads the model and runs it 20 times, and then
    goes on.

    The host's memory is read from /proc, the interpreter's own included. A card's memory is read from NVML, before the
    model is loaded and when it has run, because runtimes give nothing back between calls. Raises WorkerFailed with the
    reason where the model can't be run. A later failure is the energy's or the profile's own reason.
    """
    worker.ask(Pin(cores_for([job.target])))  # the core that is idlest now, and not when the process was started
    with card_of(job.target.device) as card:
        before = None if card is None else card.used_bytes()
        loaded: Loaded = worker.ask(Load(calls=1, warmup_ns=0))
        host: int | None = worker.ask(PeakMemory(calls=_CALLS, limit_s=_LIMIT_S))
        after = None if card is None else card.used_bytes()
    settling = settling_of(worker, job)
    energy = energy_of(worker, job.target.device, batch_size, energy_s, powercap)
    profile = profile_of(worker, job.target.backend, loaded.warm_ns / _NS_PER_MS) if profiled else None
    peak = PeakBytes(host=host, device=increase(before, after))
    return Solo(peak=peak, energy=energy, profile=profile, settling=settling)
