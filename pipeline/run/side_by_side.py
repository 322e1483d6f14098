"""Runs several models side by side, where nothing is timed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from pipeline.machine.environment import available_cores
from pipeline.plan import Target


def on_cores(targets: Iterable[Target]) -> int:
    """How many models on these targets run at once: as many as there are cores for their threads, one at least."""
    threads = [target.threads for target in targets]
    return max(1, min(len(threads), available_cores() // max(threads, default=1)))


def at_once(targets: Iterable[Target]) -> int:
    """How many models on these targets run at once, whatever memory they take: one where any is on an accelerator."""
    targets = list(targets)
    return on_cores(targets) if all(target.device == "cpu" for target in targets) else 1


@contextmanager
def workers(size: int, stop: Event) -> Iterator[ThreadPoolExecutor]:
    """Threads, this many at a time. Ctrl-C ends the processes that the threads wait for, so that it does not wait for
    them."""
    with ThreadPoolExecutor(size) as pool:
        try:
            yield pool
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
