"""Keeps cores busy on purpose: a load beside what is timed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SPIN = """\
import os, threading

def follow():
    os.read(0, 1)
    os._exit(0)

threading.Thread(target=follow, daemon=True).start()
while True:
    pass
"""
"""It ends with whoever started it, however that ends: its stdin is closed then."""


@contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Keep so many cores busy by processes that do nothing else, wherever the system puts them."""
    spinners = []
    try:
        for _ in range(count):
            spinners.append(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _SPIN],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()
            if spinner.stdin is not None:
                spinner.stdin.close()
