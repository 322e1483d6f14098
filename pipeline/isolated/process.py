"""A process as its parent sees it: how it is started and ended, and what its end means."""

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
"""The time that a process has to end after it was told to."""
_LOG_TAIL = 2**16


def start_python(module: str, log: Path | IO[bytes], descriptors: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start ``main`` of a module in a fresh interpreter: with our search path, and without importing our main module.

    This package is imported before the search path is set: a module of its name in the working directory is not it. The
    process has a group of its own, so that a terminal's Ctrl-C reaches only the parent, which then ends it.
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
    """A channel over the process's standard streams."""
    assert process.stdin is not None
    assert process.stdout is not None
    descriptors = os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno())
    process.stdout.close()
    process.stdin.close()
    return Channel.over(*descriptors)


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process ends by itself, after its channel was closed."""
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group at once."""
    kill_group(process.pid)
    process.kill()
    process.wait()


def kill_group(leader: int) -> None:
    """End a process that leads a group, and all processes that it has started in that group."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)


def last_words(log: Path | IO[bytes]) -> str:
    """The last line that a process has printed; empty where it printed nothing."""
    lines = (plain_line(line) for line in reversed(printed(log).splitlines()))
    return next((line for line in lines if line), "")


def printed(log: Path | IO[bytes]) -> str:
    """The text that a process has printed; only the end of a long text."""
    if isinstance(log, Path):
        return log.read_bytes()[-_LOG_TAIL:].decode(errors="replace") if log.exists() else ""
    log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL))
    return log.read().decode(errors="replace")


def how_it_ended(code: int | None) -> str:
    """The end of a process in words, from an exit code as ``subprocess`` gives it: below 0 it is the signal's
    number."""
    if code is None:
        return "ended with the one that had started it"
    if code >= 0:
        return f"ended with code {code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{hint}"
