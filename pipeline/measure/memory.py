"""How much memory a process needs that does nothing but run one model."""

from __future__ import annotations

from pipeline.artifact import Artifact
from pipeline.data.dataset import Feed
from pipeline.measure.processes import alone
from pipeline.measure.worker import Job, Load, PeakMemory
from pipeline.plan import Target

_CALLS = 20


def peak_memory_bytes(artifact: Artifact, target: Target, feed: Feed) -> int | None:
    """The most memory held by a fresh process that imports the runtime, loads the model and runs it 20 times.

    Host memory, the interpreter's own included. None where the system doesn't say (it is read from /proc). Raises
    WorkerFailed with the reason where the model can't be run.
    """
    with alone(Job(artifact=artifact, target=target, feed=feed)) as worker:
        worker.ask(Load(calls=0, warmup_ns=0))
        peak: int | None = worker.ask(PeakMemory(calls=_CALLS))
    return peak
