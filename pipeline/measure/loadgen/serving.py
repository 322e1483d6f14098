"""Answers LoadGen's queries with a model: in the order of their arrival, in batches of sizes that it is warm for.

This runs in the worker process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from queue import Empty, SimpleQueue
from typing import Protocol

import numpy as np

from pipeline.data.batches import Feed, axes_of, placed
from pipeline.measure.workers.worker import time_calls
from pipeline.plan import Session

_WARMUP_CALLS = 10
_WARMUP_NS = 20_000_000


class Query(Protocol):
    """One example that LoadGen asks for (its ``QuerySample``)."""

    @property
    def index(self) -> int:
        """The number of the example."""
        ...


Waiting = SimpleQueue[Query | None]
"""Queries in the order in which they arrived; None: there will be no more."""


def batch_shapes(batch_size: int, fixed: bool) -> tuple[int, ...]:
    """The batch sizes to run: the row's and the powers of two below it; only the row's where the model fixes its
    batch."""
    if fixed:
        return (batch_size,)
    powers = [2**power for power in range(batch_size.bit_length()) if 2**power < batch_size]
    return (*powers, batch_size)


@dataclass(slots=True)
class Serving:
    """A model that answers queries; ``done`` is called with every batch. After an error nothing is run any more."""

    session: Session
    samples: Feed
    """Preprocessed examples, an array [N, ...] per input."""
    shapes: Sequence[int]
    done: Callable[[Sequence[Query]], None]
    error: Exception | None = None

    def warm_up(self) -> dict[int, float]:
        """Run every batch size some times; returns about how long a warm call of each takes, in nanoseconds."""
        found = {}
        for size in self.shapes:
            feed = self._feed([0] * size)
            found[size] = float(np.median(time_calls(self.session, repeat(feed), _WARMUP_CALLS, _WARMUP_NS)))
        return found

    def answer(self, queries: Sequence[Query]) -> None:
        """Run the queries in their order, in batches of at most the largest size."""
        largest = self.shapes[-1]
        for start in range(0, len(queries), largest):
            batch = queries[start : start + largest]
            self._run([query.index for query in batch])
            self.done(batch)

    def answer_all(self, waiting: Waiting) -> None:
        """Answer every query until None arrives. A batch is what waits at the time, at most the largest size."""
        while (first := waiting.get()) is not None:
            batch, more = self._batch(first, waiting)
            self.answer(batch)
            if not more:
                return

    def _batch(self, first: Query, waiting: Waiting) -> tuple[list[Query], bool]:
        batch = [first]
        while len(batch) < self.shapes[-1]:
            try:
                query = waiting.get_nowait()
            except Empty:
                break
            if query is None:
                return batch, False
            batch.append(query)
        return batch, True

    def _run(self, positions: list[int]) -> None:
        if self.error is not None:
            return
        size = next(size for size in self.shapes if size >= len(positions))
        try:
            self.session(self._feed(positions + positions[-1:] * (size - len(positions))))
        except Exception as error:  # noqa: BLE001  it may not pass through LoadGen, which would end the process
            self.error = error

    def _feed(self, positions: Iterable[int]) -> Feed:
        chosen = list(positions)
        return placed({name: array[chosen] for name, array in self.samples.items()}, axes_of(self.samples))
