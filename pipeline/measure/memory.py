"""How much memory a process needs that does nothing but run one model."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.artifact import Artifact
from pipeline.data.dataset import Feed
from pipeline.measure.counters import increase
from pipeline.measure.nvml import card_of
from pipeline.measure.processes import alone
from pipeline.measure.worker import Job, Load, PeakMemory
from pipeline.plan import Target

_CALLS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakBytes:
    """The most that was held; None where the system doesn't say."""

    host: int | None
    device: int | None
    """Of a graphics card's memory, by which it rose: the runtime's own context and what it keeps for the next call
    included, and whatever else came to the card meanwhile."""


def peak_memory(artifact: Artifact, target: Target, feed: Feed) -> PeakBytes:
    """Of a fresh process that imports the runtime, loads the model and runs it 20 times.

    The host's is read from /proc, the interpreter's own included; a card's from NVML, before the process starts and
    when it has run, as runtimes give nothing back between calls. Raises WorkerFailed with the reason where the model
    can't be run.
    """
    with card_of(target.device) as card:
        before = None if card is None else card.used_bytes()
        with alone(Job(artifact=artifact, target=target, feed=feed)) as worker:
            worker.ask(Load(calls=0, warmup_ns=0))
            host: int | None = worker.ask(PeakMemory(calls=_CALLS))
            after = None if card is None else card.used_bytes()
    return PeakBytes(host=host, device=increase(before, after))
