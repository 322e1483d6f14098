"""Asks a row's runtime where a call's time goes."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

from pipeline.errors import reasoned
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.worker import State
from pipeline.plan import Backend, Profiler

_PROFILED_MS, _LONGEST_MS = 300.0, 2000.0
_FEWEST_CALLS, _MOST_CALLS, _FEWEST_LONG_CALLS = 10, 200, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Have the backend profile the worker's model."""

    calls: int

    def __call__(self, state: State) -> dict[str, Any]:
        """Profile in a session of its own, because a profiled one is slower; the worker's session is given up for its
        memory."""
        job, state.session = state.job, None
        gc.collect()
        if job is None or not isinstance(job.target.backend, Profiler):
            raise RuntimeError("a worker was told to profile what has no profile")
        return job.target.backend.profile(job.artifact, job.target, job.feed, self.calls)


def profile_of(worker: Worker, backend: Backend, call_ms: float) -> dict[str, Any]:
    """The profile of a worker's model whose calls take about ``call_ms`` (``Profiler.profile``); where there is none,
    ``{"reason": why not}``. It has to be the last thing that the worker is asked for."""
    if not isinstance(backend, Profiler):
        return {"reason": f"{backend.name} rows have no profile"}
    found: dict[str, Any] = {}
    with reasoned(lambda error: found.update(reason=str(error))):
        found.update(worker.ask(Profile(calls=calls_of(call_ms))))
    return found


def calls_of(call_ms: float) -> int:
    """How many calls are profiled of a model whose calls take about ``call_ms``: enough to see past what else the
    machine does, and fewer where they are long."""
    fitting = _PROFILED_MS / max(call_ms, 1e-3)
    fewest = min(_FEWEST_CALLS, max(_LONGEST_MS / max(call_ms, 1e-3), _FEWEST_LONG_CALLS))
    return round(min(max(fitting, fewest), _MOST_CALLS))
