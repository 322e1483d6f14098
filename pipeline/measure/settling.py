"""Do a model's later calls take what its first ones take?

A PyTorch model is code, which may do something else in its first thousand calls; a round has fewer calls than that, so
its cells can't show it. The graphs of other runtimes hold no state.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import WorkerFailed
from pipeline.measure.workers.process import Worker
from pipeline.measure.workers.worker import Job, State, time_calls

SECONDS = 1.5
MOST_SECONDS = 10.0
_AT_ONCE_NS = 20_000_000
_WINDOW = 20
_NEAR = 1.25
"""Calls that differ by less than this from the last ones are like them."""
_ODD = 0.1
"""The share of the steady calls that may be otherwise, because something else ran meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOn:
    """Run the worker's model for a while, by the processor's clock: on a busy machine it gets less of each second."""

    seconds: float
    at_most_s: float

    def __call__(self, state: State) -> list[int]:
        """The duration of each call, in nanoseconds."""
        session, _ = state.loaded
        began, used = time.monotonic(), time.process_time()
        durations: list[int] = []
        while time.process_time() - used < self.seconds and time.monotonic() - began < self.at_most_s:
            durations += time_calls(session, state.feeds(), 1, _AT_ONCE_NS)
        return durations


def settling_of(worker: Worker, job: Job) -> dict[str, Any] | None:
    """``calls``, ``first_ms``, ``last_ms`` and ``steady_after`` of a model that is code; None for other models, and for
    a model that is too slow to tell."""
    if "torch" not in job.target.backend.runs:
        return None
    try:
        return settled(worker.ask(CallOn(seconds=SECONDS, at_most_s=MOST_SECONDS)))
    except WorkerFailed:
        return None  # whatever it is asked for next says so


def settled(durations_ns: Sequence[int]) -> dict[str, Any] | None:
    """The median call at the beginning and at the end, and the number of calls after which they are like the ones at
    the end."""
    windows = len(durations_ns) // _WINDOW
    if windows < 2:
        return None
    calls_ms = np.array(durations_ns[-windows * _WINDOW :]).reshape(windows, _WINDOW) / 1e6
    medians = np.median(calls_ms, axis=1)
    last = np.median(medians[-max(2, windows // 10) :])
    unlike = np.maximum(medians / last, last / medians) > _NEAR
    from_here = np.cumsum(unlike[::-1])[::-1] / np.arange(windows, 0, -1)  # the share of those that are unlike
    return {
        "calls": len(durations_ns),
        "first_ms": float(medians[0]),
        "last_ms": float(last),
        "steady_after": int(np.argmax(~unlike & (from_here <= _ODD))) * _WINDOW,
    }
