"""A process as the one that started it sees it: how it starts, ends, and what is told of its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pipeline import PACKAGE
from pipeline.errors.reasons import plain_line
from pipeline.isolated.channel import Channel

PATIENCE_S = 5.0
"""How long a process that was told to end may take."""
_LOG_TAIL = 2**16


def start_python(module: str, log: Path | IO[bytes], descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start ``main`` of a module in a fresh interpreter: with our search path, and without importing our main module.

    This package is imported before the search path is set: a module of its name in the working directory is not it.
    In a process group of its own, so that a terminal's Ctrl-C reaches the parent alone, which then ends it.
    """
    own = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import {PACKAGE.name}"
    program = f"{own}; sys.path[:] = {sys.path!r}; from {module} import main; main()"
    command = [sys.executable, "-c", program]
    with log.open("wb") if isinstance(log, Path) else os.fdopen(os.dup(log.fileno()), "wb") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=tuple(descriptors),
            process_group=0 if os.name == "posix" else None,
        )


@contextmanager
def own_package_first() -> Iterator[None]:
    """Let processes that ``multiprocessing`` starts meanwhile find this package, and not a module of its name in the
    working directory: they get the search path as it is then. They call ``search_as_parent`` before anything else."""
    sys.path.insert(0, str(PACKAGE.parent))
    try:
        yield
    finally:
        search_as_parent()


def search_as_parent() -> None:
    """Take away what ``own_package_first`` put before the search path."""
    if sys.path[:1] == [str(PACKAGE.parent)]:
        del sys.path[0]


def channel_to(process: subprocess.Popen[bytes]) -> Channel:
    """Over its standard streams."""
    assert process.stdin is not None
    assert process.stdout is not None
    descriptors = os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno())
    process.stdout.close()
    process.stdin.close()
    return Channel.over(*descriptors)


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that ends by itself once its channel is closed."""
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End it and its group at once."""
    kill_group(process.pid)
    process.kill()
    process.wait()


def kill_group(leader: int) -> None:
    """End a process that leads a group, and whatever it has started in that group."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def last_words(log: Path | IO[bytes]) -> str:
    """The last line that a process has printed; empty where it said nothing."""
    lines = (plain_line(line) for line in reversed(printed(log).splitlines()))
    return next((line for line in lines if line), "")


def printed(log: Path | IO[bytes]) -> str:
    """What a process has printed, of much only the end."""
    if isinstance(log, Path):
        return log.read_bytes()[-_LOG_TAIL:].decode(errors="replace") if log.exists() else ""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
    return log.read().decode(errors="replace")


def how_it_ended(code: int | None) -> str:
    """In words, from an exit code as ``subprocess`` tells it: below 0 is the signal's number."""
    if code is None:
        return "ended with the one that had started it"
    if code >= 0:
        return f"ended with code {code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"
