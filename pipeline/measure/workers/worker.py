"""A measuring process: it loads one model, and times it whenever it is told to.

The parent sends a command and blocks until its result is there, so only one worker is ever at work. This module is kept
small, because every worker imports it.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.data.batches import Feed, starts
from pipeline.errors import reason_of
from pipeline.errors.reasons import traced
from pipeline.isolated.channel import Channel, follow_parent, take_standard_streams
from pipeline.machine.counters import increase, major_faults, peak_resident_bytes, run_delay_ns
from pipeline.plan import Enqueuing, RunLimits, Session, Target, Waking, as_read

if TYPE_CHECKING:
    from pipeline.measure.workers.call import Call

_LONG_CALLS = 2
"""So many calls warm up a model whose calls are long."""
_REST_NS = 1_000_000
_LONGEST_REST = 50
CAN_STOP = hasattr(signal, "SIGSTOP")
"""Whether the parent stops a worker that has nothing to do."""
_CAPTURING_RUNS = 3
"""The number of runs of a batch in which its kernels are chosen, and captured as a graph where that is asked for."""
_AT_REST = 0.25
"""A process that uses less than this share of a core is at rest; going to sleep and waking takes some, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A model to measure, with its inputs, and the cores to run on (None: wherever the system puts it)."""

    artifact: Artifact
    target: Target
    feed: Feed
    cores: tuple[int, ...] | None = None
    limit_s: float = RunLimits().seconds
    """The least time that an answer may take."""
    more: tuple[Feed, ...] = ()
    """Further batches of the same shapes; timed calls take them in turn with ``feed``."""
    call: Call | None = None
    """What a whole call does around the model, where its steps are timed."""

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """All batches."""
        return self.feed, *self.more


@dataclass(slots=True)
class State:
    """What a worker keeps between two commands."""

    job: Job | None = None
    session: Session | None = None
    turn: int = 0
    """The number of batches that were handed out."""
    long: bool = False
    """Whether a call takes so long that it is timed alone."""

    @property
    def loaded(self) -> tuple[Session, Job]:
        """The session and its job; raises RuntimeError before Load."""
        if self.job is None or self.session is None:
            raise RuntimeError("a worker was told to run a model that it has not loaded")
        return self.session, self.job

    def feeds(self) -> Iterator[Feed]:
        """The job's batches in turn, without end, from where it stopped."""
        _, job = self.loaded
        while True:
            self.turn += 1
            yield job.feeds[self.turn % len(job.feeds)]


class Command(Protocol):
    """An order to a worker; the result is sent back."""

    def __call__(self, state: State) -> Any:
        """Carry it out; an error is sent back as the reason."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A worker's answer in place of a result: the reason, in one line, and the whole text."""

    reason: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """Keep to some cores from now on. None, or a system that has no such call: wherever the system puts it."""

    cores: tuple[int, ...] | None

    def __call__(self, state: State) -> None:
        """Pin this process."""
        if self.cores is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, self.cores)


@dataclass(frozen=True, slots=True)
class Start:
    """Take a job and import its runtime. The job is a pickle, so that one that can't be read is a reason like any
    other."""

    job: bytes

    def __call__(self, state: State) -> None:
        """Import before pinning: the workers of a round import side by side."""
        job: Job = pickle.loads(self.job)
        job.target.backend.preload(job.target)
        Pin(job.cores)(state)
        state.job = job


@dataclass(frozen=True, slots=True)
class Wake:
    """Have the accelerator make the state that it keeps for this process; the workers of a round do so side by side."""

    def __call__(self, state: State) -> None:
        """Wake the backend, where it has something to wake."""
        job = state.job
        if job is not None and isinstance(job.target.backend, Waking):
            job.target.backend.wake(job.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The times of the load and of the first inference, and about the time of a warm call, in nanoseconds."""

    load_ns: int
    first_ns: int
    warm_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load the model, run it once, then warm it up for at least ``calls`` and ``warmup_ns``; two calls are enough where
    each takes ``long_ns`` or longer."""

    calls: int
    warmup_ns: int
    long_ns: int | None = None

    def __call__(self, state: State) -> Loaded:
        """Time each step. From then on the garbage collector rests, so that it never runs inside a timed call."""
        job = state.job
        if job is None:
            raise RuntimeError("a worker was told to load before it had a job")
        start = time.perf_counter_ns()
        session = job.target.backend.load(job.artifact, job.target)
        loaded = time.perf_counter_ns()
        feed, *more = (as_read(session, feed) for feed in job.feeds)
        state.job, state.session = replace(job, feed=feed, more=tuple(more)), session
        called = time.perf_counter_ns()
        session(feed)
        first = time.perf_counter_ns()
        warm = time_calls(session, state.feeds(), min(self.calls, _LONG_CALLS), 0)
        state.long = self.long_ns is not None and min(warm, default=0) >= self.long_ns
        if not state.long:
            warm += time_calls(session, state.feeds(), self.calls - len(warm), self.warmup_ns - sum(warm))
        gc.collect()
        gc.disable()
        return Loaded(
            load_ns=loaded - start, first_ns=first - called, warm_ns=float(np.median(warm or [first - called]))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A cell's calls, and the counters of the time that they took; None where the system doesn't say."""

    durations_ns: NDArray[np.int64]
    run_delay_ns: int | None
    """The time in which the worker's threads were ready to run and had no core."""
    major_faults: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Time the model: after untimed calls for ``untimed_ns``, ``calls`` or more, until they took ``cell_ns`` together.

    The untimed calls fill the processor's caches, which other models have used meanwhile. There is one at least, unless
    ``untimed_ns`` is 0. A call that is long, as ``Load`` found, is timed alone.
    """

    untimed_ns: int
    calls: int
    cell_ns: int

    def __call__(self, state: State) -> Timed:
        """Make one visit."""
        session, job = state.loaded
        delay, faults = run_delay_ns(), major_faults()
        if state.long:
            durations = time_calls(session, state.feeds(), 1, 0)
        else:
            time_calls(session, state.feeds(), 1 if self.untimed_ns else 0, self.untimed_ns)
            durations = time_calls(session, state.feeds(), self.calls, self.cell_ns)
        if not CAN_STOP and job.target.threads > 1:
            rest()
        return Timed(
            durations_ns=np.array(durations, np.int64),
            run_delay_ns=increase(delay, run_delay_ns()),
            major_faults=increase(faults, major_faults()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTimed:
    """The times of runs back to back on an accelerator."""

    call_ns: float
    enqueue_share: float
    """The share of the time that the host took to ask for the runs: near 1 the device waits for the host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTime:
    """Run the model back to back for at least ``total_ns``, its batches in turn and on the device, waiting once.

    The host's clock times the whole batch of runs, which is so long that the one wait at its end counts for nothing.
    CUDA events would not work: a runtime with a stream of its own can't be timed by the events of another.
    """

    total_ns: int

    def __call__(self, state: State) -> DeviceTimed | None:
        """Time the runs; None where the runtime can't run without handing its inputs and outputs over."""
        session, job = state.loaded
        if not isinstance(session, Enqueuing):
            return None
        clock = time.perf_counter_ns
        batches = [session.resident(feed) for feed in job.feeds]
        for batch in batches:
            for _ in range(_CAPTURING_RUNS):
                batch.enqueue()
            batch.wait()
        calls = 3
        while True:
            turns = [batches[turn % len(batches)] for turn in range(calls)]
            start = clock()
            for batch in turns:
                batch.enqueue()
            enqueued = clock()
            # One wait would do where all runs share a stream; each batch is asked, since that is the runtime's affair.
            for batch in batches:
                batch.wait()
            total = clock() - start
            if total >= self.total_ns:
                return DeviceTimed(call_ns=total / calls, enqueue_share=(enqueued - start) / total)
            calls = max(2 * calls, round(1.2 * calls * self.total_ns / max(total, 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """Run the model some more and tell the most memory that this process has held so far, in bytes.

    It runs ``calls`` times, or as often as it ends within ``limit_s``.
    """

    calls: int
    limit_s: float | None = None

    def __call__(self, state: State) -> int | None:
        """The process's VmHWM; not ``ru_maxrss``, which a process inherits from the one that started it."""
        session, job = state.loaded
        for _ in starts(self.calls, 1, self.limit_s):
            session(job.feed)
        return peak_resident_bytes()


def time_calls(session: Session, feeds: Iterator[Feed], calls: int, total_ns: int) -> list[int]:
    """Call until both ``calls`` and ``total_ns`` are reached; returns each call's duration in nanoseconds.

    Each call takes the next of ``feeds``; taking it is not timed.
    """
    clock = time.perf_counter_ns
    durations: list[int] = []
    total = 0
    while total < total_ns or len(durations) < calls:
        feed = next(feeds)
        start = clock()
        session(feed)
        duration = clock() - start
        durations.append(duration)
        total += duration
    return durations


def rest(cpu_ns: Callable[[], int] = time.process_time_ns, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until this process uses no processor time: the idle threads of a pool may spin for some milliseconds.

    They would take a core from the worker that is visited next. The wait has a limit, in case they spin for ever.
    """
    for _ in range(_LONGEST_REST):
        before = cpu_ns()
        sleep(_REST_NS / 1e9)
        if cpu_ns() - before < _AT_REST * _REST_NS:
            return


def serve(channel: Channel) -> None:
    """Carry out commands until the other end closes. A command that fails is answered with the reason."""
    state = State()
    try:
        while True:
            channel.send(_result(channel.receive(), state))
    except (EOFError, BrokenPipeError):
        return


def _result(command: Command, state: State) -> Any:
    try:
        return command(state)
    except BaseException as error:  # noqa: BLE001  a model raises what it likes, SystemExit too: the row's reason
        return Failure(reason_of(error), traced(error))


def main() -> None:
    """Be a worker that was started afresh: commands come in through stdin."""
    follow_parent()
    serve(take_standard_streams())
