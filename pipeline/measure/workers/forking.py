"""Fresh workers, cheaply: one process imports the runtimes, then forks a worker per subject.

It forks before any session exists, since a session's threads would not live on in the child. A new template every round
draws a new memory layout, which all workers of the round share; one that lived on would never draw another.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from pipeline.isolated.channel import Channel, follow_parent, take_standard_streams
from pipeline.measure.workers.worker import serve
from pipeline.plan import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A worker's connections: the descriptors of its ends of two pipes, and a file for what it prints."""

    read_fd: int
    write_fd: int
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What a template is for: import what these targets need (a pickle each); later, fork workers at these places."""

    targets: Sequence[bytes]
    places: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Fork:
    """Make the workers of some places, by their numbers; the other places stay empty."""

    numbers: Sequence[int]


Order = Literal["ready"] | Fork
"""What a template can be told beside a worker's number. It answers when it is done, with the process ids of the workers
by number."""


def main() -> None:
    """Be a template: import; then fork the workers when told to, and tell how a worker ended when asked by its number.

    When the parent closes, all workers are ended.
    """
    follow_parent()
    channel = take_standard_streams()
    pids: dict[int, int] = {}
    try:
        preparation: Preparation = channel.receive()
        _preload(preparation.targets)
        # What was imported is no garbage: a worker's own collection need not look through it, nor copy its pages.
        gc.freeze()
        while True:
            order: Order | int = channel.receive()
            if isinstance(order, Fork):
                for number in order.numbers:
                    pids[number] = _fork(preparation.places[number], preparation.places, channel)
                _close(preparation.places)
            channel.send(_exit_code(pids, order) if isinstance(order, int) else dict(pids))
    except (EOFError, BrokenPipeError):
        _end(pids)
        # An interpreter that has imported a runtime takes 0.1 s to end in good order.
        os._exit(0)
    finally:
        _end(pids)


def _preload(targets: Sequence[bytes]) -> None:
    for pickled in targets:
        try:
            target: Target = pickle.loads(pickled)
            target.backend.preload(target)
        except Exception:  # noqa: BLE001  the worker tries again, and reports what went wrong
            continue


def _fork(place: Place, places: Sequence[Place], channel: Channel) -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of forking with threads: those here are the idle ones of numpy and of the runtime, whose
        # makers allow for a fork.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _work(place, places, channel)
    return pid


def _work(place: Place, places: Sequence[Place], channel: Channel) -> NoReturn:
    """Be a worker. Every other descriptor is closed, or the parent would not notice when a sibling dies."""
    try:
        follow_parent()
        os.close(channel.reader.fileno())
        os.close(channel.writer.fileno())
        _close([other for other in places if other is not place])
        log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        serve(Channel.over(place.read_fd, place.write_fd))
    except BaseException:  # noqa: BLE001  its last words
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _close(places: Sequence[Place]) -> None:
    for place in places:
        os.close(place.read_fd)
        os.close(place.write_fd)


def _exit_code(pids: dict[int, int], number: int) -> int | None:
    """The exit code as subprocess gives it: below 0 it is the signal's number. None for a worker whose end was told
    before."""
    pid, pids[number] = pids[number], 0
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else None


def _end(pids: dict[int, int]) -> None:
    for pid in filter(None, pids.values()):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    pids.clear()
