"""Leases: which of the machines that share a disk or an object store is at a task.

A lease is a small object, ``<task>/<number>``, that its holder rewrites every few seconds. Whoever waits takes it over
when it has not changed for a while by the waiter's own clock, so no two machines' clocks are compared.

All that is asked of the place is that an object is made only where there is none, and that a list shows what was made
before. The next number is the take-over: one waiter gets it. Then it looks again, and lets go where anything else has
changed meanwhile. So of two that are at it in the same moment at most one goes on. A holder that was taken for dead
finds the higher number and knows that its lease is lost. What it makes is harmless: the store goes by content.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Protocol

from pipeline.errors import SlimlineError
from pipeline.folders.life import Life
from pipeline.folders.waiting import Holder, wait

logger = logging.getLogger(__name__)
_LOST = "another process took this one for dead, and its task over: both finish it, and the store keeps one result"
_DOUBTS = 2
"""A higher number may be one that is about to let go; seen so often in a row, it is the holder's."""


class LeaseFiles(Protocol):
    """Where leases lie. A name is ``<task>/<number>``."""

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, without the folder's name; empty where there is none."""

    def create(self, name: str, content: bytes) -> bool:
        """Make an object with this content; False, and nothing is changed, where it exists."""

    def read(self, name: str) -> bytes | None:
        """The content; None where there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Replace the content in one step."""

    def remove(self, name: str) -> None:
        """Remove it, if it exists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """The leases of a store."""

    files: LeaseFiles
    beat_s: float = 5.0
    """How often a holder rewrites its lease."""
    stale_s: float = 30.0
    """A lease that has not changed for so long is taken over."""
    pause_s: float = 0.5
    """How long a waiter waits before it looks again."""

    @contextmanager
    def held(self, task: str, what: str) -> Iterator[None]:
        """Hold the lease of a task for the block. Where another process has it, wait and say for whom; ``what``
        completes "waiting for"."""
        taking = _Taking(self, task)
        lease = wait(taking.take, taking.holder, what, pause_s=self.pause_s)
        ended = threading.Event()
        beating = threading.Thread(target=lease.keep, args=(self.beat_s, ended), name="slimline-lease", daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
            with suppress(SlimlineError, OSError):  # what stays is taken over, as it no longer changes
                lease.let_go()

    def is_held(self, task: str) -> bool:
        """Whether there is a lease of the task, be it that of a process that is gone."""
        return bool(_numbers(self.files, task))


@dataclass(slots=True)
class _Lease:
    """A lease that this process holds."""

    files: LeaseFiles
    task: str
    number: int
    since: Holder = field(default_factory=Holder.me)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    beats: int = 0
    doubts: int = 0

    @property
    def content(self) -> bytes:
        plain = {**asdict(self.since), "life": asdict(Life.mine()), "mark": self.mark, "beats": self.beats}
        return json.dumps(plain).encode()

    @property
    def name(self) -> str:
        return _name(self.task, self.number)

    @property
    def is_mine(self) -> bool:
        """Whether the object is this process's. A server that knows no "only where there is none" may have let another
        process write over it."""
        return _mark(self.files.read(self.name)) == self.mark

    def keep(self, beat_s: float, ended: threading.Event) -> None:
        """Rewrite the lease until ``ended``, or until it is lost."""
        while not ended.wait(beat_s):
            try:
                if not self.beat():
                    logger.warning("%s", _LOST)
                    return
            except (SlimlineError, OSError) as error:
                logger.debug("a lease was not renewed: %s", error)

    def beat(self) -> bool:
        """Rewrite the lease; False where it is lost."""
        is_higher = max(_numbers(self.files, self.task), default=0) > self.number
        self.doubts = self.doubts + 1 if is_higher else 0
        if self.doubts >= _DOUBTS or not self.is_mine:
            self.let_go()
            return False
        self.beats += 1
        self.files.write(self.name, self.content)
        return True

    def let_go(self) -> None:
        """Remove the lease, unless it is another's by now."""
        if self.is_mine:
            self.files.remove(self.name)


@dataclass(slots=True)
class _Taking:
    """An attempt to get the lease of a task, repeated until it works."""

    leases: Leases
    task: str
    number: int = 0
    seen: bytes | None = None
    """What the highest lease held when it last changed."""
    changed: float = 0.0
    """When that was seen first, by this process's own clock."""

    def take(self) -> _Lease | None:
        """The lease, where it is free or was not renewed for long."""
        files = self.leases.files
        numbers = _numbers(files, self.task)
        if not numbers:
            return self._made(1, [])
        content = files.read(_name(self.task, numbers[-1]))
        if (numbers[-1], content) != (self.number, self.seen):
            self.number, self.seen, self.changed = numbers[-1], content, time.monotonic()
        if content is None or not (self._is_stale() or _is_over(content)):
            return None
        return self._made(numbers[-1] + 1, numbers)

    def holder(self) -> Holder | None:
        """Who holds it, as far as it tells."""
        return None if self.seen is None else Holder.parse(self.seen.decode(errors="replace"))

    def _is_stale(self) -> bool:
        return time.monotonic() - self.changed > self.leases.stale_s

    def _made(self, number: int, known: list[int]) -> _Lease | None:
        """A lease of this number, given that nobody else did anything meanwhile."""
        files = self.leases.files
        lease = _Lease(files, self.task, number)
        if not files.create(lease.name, lease.content):
            return None
        others = set(_numbers(files, self.task)) - {number}
        is_as_before = not known or files.read(_name(self.task, known[-1])) == self.seen
        if others - set(known) or not is_as_before or not lease.is_mine:
            lease.let_go()
            time.sleep(random.uniform(0, self.leases.pause_s))  # or two that let go meet again at once
            return None
        if known:
            logger.warning("a lease of %s is taken over: it was not renewed", self.holder() or "an unknown process")
        for other in others:
            files.remove(_name(self.task, other))
        return lease


def _name(task: str, number: int) -> str:
    return f"{task}/{number}"


def _numbers(files: LeaseFiles, task: str) -> list[int]:
    return sorted(int(name) for name in files.names(task) if name.isdecimal())


def _mark(content: bytes | None) -> str | None:
    try:
        return None if content is None else str(json.loads(content)["mark"])
    except (ValueError, KeyError, TypeError):
        return None


def _is_over(content: bytes) -> bool:
    """Whether the holder ran on this machine and has ended."""
    try:
        return Life(**json.loads(content)["life"]).is_over
    except (ValueError, KeyError, TypeError):
        return False
