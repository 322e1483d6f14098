"""Keeps cores busy on purpose: a load beside what is timed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.isolated.channel import follow_parent
from pipeline.isolated.process import own_package_first


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Keep so many cores busy by processes that do nothing else, wherever the system puts them."""
    context = multiprocessing.get_context("spawn")
    spinners = [context.Process(target=_spin, daemon=True) for _ in range(count)]
    try:
        with own_package_first():
            for spinner in spinners:
                spinner.start()
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.join()


def _spin() -> None:
    follow_parent()
    while True:
        pass
