"""Runs several models side by side, where nothing is timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from pipeline.machine.environment import available_cores
from pipeline.plan import Target


def at_once(targets: Iterable[Target], held: Callable[[], int] = lambda: 1) -> int:
    """How many models on these targets run at once: as many as there are cores for their threads and, where any is on
    an accelerator, as its memory has ``held``; one at least."""
    targets = list(targets)
    cores = min(len(targets), available_cores() // max((target.threads for target in targets), default=1))
    return max(1, cores if all(target.device == "cpu" for target in targets) else min(cores, held()))


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
