"""Where does a row's time go? Its runtime's own profile, taken in a fresh process, after the timing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import Skipped, WorkerFailed
from pipeline.measure.cores import cores_for
from pipeline.measure.processes import alone
from pipeline.measure.worker import Job, State
from pipeline.plan import Profiler

_PROFILED_MS = 300.0
_FEWEST_CALLS, _MOST_CALLS = 10, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Have the backend profile the worker's model."""

    calls: int

    def __call__(self, state: State) -> dict[str, Any]:
        """In a session of its own, as a profiled one is slower."""
        job = state.job
        if job is None or not isinstance(job.target.backend, Profiler):
            raise RuntimeError("a worker was told to profile what has no profile")
        return job.target.backend.profile(job.artifact, job.target, job.feed, self.calls)


def measure_profile(job: Job, call_ms: float) -> dict[str, Any]:
    """The profile of a row whose calls take about ``call_ms`` (``Profiler.profile``), or ``{"reason": why not}``."""
    backend = job.target.backend
    if not isinstance(backend, Profiler):
        return {"reason": f"{backend.name} rows have no profile"}
    calls = round(min(max(_PROFILED_MS / max(call_ms, 1e-3), _FEWEST_CALLS), _MOST_CALLS))
    try:
        with alone(replace(job, cores=cores_for([job.target]))) as worker:
            found: dict[str, Any] = worker.ask(Profile(calls=calls))
    except (WorkerFailed, Skipped) as error:
        return {"reason": str(error)}
    return found
