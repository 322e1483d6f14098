"""Several calls side by side on this machine, each on cores of its own.

A training of a small model leaves a second core half idle, and an export or a quantization leaves it idle. Each on its
own cores, they share the machine without disturbing each other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from threading import Event
from typing import Any, TypeVar

from pipeline.bounds import Count, Positive
from pipeline.errors import UserError
from pipeline.execution.local import NO_NODES
from pipeline.isolated import Limits, run
from pipeline.isolated.template import Template
from pipeline.machine.environment import available_cores, available_memory_bytes
from pipeline.plan import PlacedCall, Places

T = TypeVar("T")
_BYTES_PER_GB = 10**9


@dataclass(frozen=True, slots=True)
class Seat:
    """A place of a pool: what starts its processes, and the cores that these run on; None: any core."""

    template: Template
    cores: Sequence[int] | None


@dataclass(slots=True, kw_only=True)
class Seats:
    """The places of a pool. Its threads live as long as the pool: a template ends with the thread that started it."""

    count: int
    threads: ThreadPoolExecutor
    free: SimpleQueue[Seat] = field(default_factory=SimpleQueue)
    stop: Event = field(default_factory=Event)
    elsewhere: bool = False

    def run(self, call: PlacedCall[T]) -> T:
        """Carry out the call in a process on the first free place's cores."""
        return self.threads.submit(self._run, call).result()

    def end(self) -> None:
        """End what runs."""
        self.stop.set()

    def _run(self, call: PlacedCall[T]) -> T:
        seat = self.free.get()
        try:
            result: T = run(
                on_cores,
                seat.cores,
                call.function,
                *call.arguments,
                limits=self._share(call.limits),
                hear=call.hear,
                start=seat.template,
                stop=self.stop,
            )
            return result
        finally:
            self.free.put(seat)

    def _share(self, limits: Limits) -> Limits:
        """The limits of one call: where the limit is the machine's memory, all places share it."""
        if limits.memory_bytes is None:
            return limits
        return replace(
            limits,
            memory_bytes=limits.memory_bytes // self.count,
            memory_advice=f"{self.count} places share it, and execution.places=1 gives one of them all; "
            f"{limits.memory_advice}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Several builds side by side, bounded by cores and memory."""

    places: Count | None = None
    """How many run side by side; None: one a core, as memory allows."""
    memory_gb: Positive = 2.0
    """The memory that one is expected to need, where ``places`` is None."""

    def check(self) -> None:
        """Raise UserError for more places than cores: two trainings on one core take as long as one after the other."""
        cores = available_cores()
        if self.places is not None and self.places > cores:
            raise UserError(
                f"execution.places is {self.places}, and this machine has {cores} cores: type execution.places={cores}"
            )

    def node_problem(self, where: Mapping[str, Any]) -> str | None:
        """There is this machine only."""
        return NO_NODES

    @contextmanager
    def open(self, template: Template) -> Iterator[Places]:
        """This machine's cores, shared out."""
        count = self.places or self._fitting()
        with ExitStack() as stack:
            seats = Seats(count=count, threads=ThreadPoolExecutor(count, thread_name_prefix="building"))
            for cores in shares_of_cores(count):
                seats.free.put(Seat(stack.enter_context(Template(template.modules)), cores))
            stack.callback(seats.threads.shutdown, cancel_futures=True)
            stack.callback(seats.end)
            yield seats

    def _fitting(self) -> int:
        memory = available_memory_bytes()
        fitting = available_cores() if memory is None else int(memory / (self.memory_gb * _BYTES_PER_GB))
        return max(1, min(available_cores(), fitting))


def shares_of_cores(count: int) -> list[Sequence[int] | None]:
    """The cores that this process may use, dealt out to ``count`` places; None each where there are too few, or where
    the system does not tell."""
    if sys.platform != "linux":
        return [None] * count
    cores = sorted(os.sched_getaffinity(0))
    return [cores[place::count] or None for place in range(count)]


def on_cores(cores: Sequence[int] | None, function: Callable[..., T], *arguments: Any, **said: Any) -> T:
    """Call ``function`` in this process, which keeps to ``cores`` from now on."""
    if cores is not None and sys.platform == "linux":
        os.sched_setaffinity(0, cores)
        os.environ["OMP_NUM_THREADS"] = str(len(cores))
        if "torch" in sys.modules:  # imported before the fork, when it counted all cores
            sys.modules["torch"].set_num_threads(len(cores))
    return function(*arguments, **said)
