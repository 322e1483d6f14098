"""A whole call, step by step: from where an example lies to what a metric judges."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.data.batches import Feed, Inputs, axes_of, batch
from pipeline.measure.workers.worker import CAN_STOP, State, rest
from pipeline.plan import CallStep, Session, as_read

STEPS: tuple[CallStep, ...] = get_args(CallStep)
"""The steps in the order in which a call takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a call does around the model, for ``size`` examples."""

    sources: Sequence[Any]
    """Where each example lies."""
    decode: Callable[[Any], Any] | None
    """None: what ``prepare`` takes lies there already."""
    prepare: Callable[[Any], Feed]
    """From what is decoded to what the model reads of one example [1, ...]."""
    finish: Callable[[Sequence[Any]], object] | None
    """From the model's outputs to what is judged; None: that is the same."""
    size: int

    def times(self, session: Session, first: int) -> tuple[int, ...]:
        """The nanoseconds of each of ``STEPS`` for the examples from ``first`` on, in turn."""
        sources = [self.sources[(first + place) % len(self.sources)] for place in range(self.size)]
        clock = time.perf_counter_ns
        began = clock()
        decoded = sources if self.decode is None else [self.decode(source) for source in sources]
        at_decoded = clock()
        feed = _joined([self.prepare(each) for each in decoded])
        at_prepared = clock()
        read = as_read(session, feed)
        asked = clock()
        outputs = session(read)
        answered = clock()
        if self.finish is not None:
            self.finish(outputs)
        return at_decoded - began, at_prepared - at_decoded, answered - asked, clock() - answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Time ``calls`` whole calls of a job, from its ``first`` on, behind an untimed one with other examples."""

    first: int
    calls: int

    def __call__(self, state: State) -> NDArray[np.float64]:
        """The milliseconds that each of ``STEPS`` takes for one example, the median of the calls."""
        session, job = state.loaded
        call = job.call
        if call is None:
            raise RuntimeError("a worker was told to time a call that its job does not have")
        call.times(session, (self.first + self.calls) * call.size)
        each = [call.times(session, (self.first + turn) * call.size) for turn in range(self.calls)]
        if not CAN_STOP and job.target.threads > 1:
            rest()
        return np.asarray(np.median(each, axis=0) / call.size / 1e6)


def _joined(feeds: Sequence[Feed]) -> Feed:
    """One batch as the model reads it."""
    arrays = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    return batch(Inputs(arrays, axes_of(feeds[0])), 0, len(feeds))
