"""A store on an object store, with a cache on this machine that everything is read from.

While the server is away, the cache goes on serving and takes what is built; ``<cache>/.unsent/<key>`` says what the
server lacks, and the next run that uses it, or ends, sends it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact, Format
from pipeline.artifact.store import BUILDING, Entry, EntrySummary, Store, reporting_store
from pipeline.errors import CorruptEntry
from pipeline.folders.lease import Leases
from pipeline.folders.locks import InUse
from pipeline.folders.waiting import locked
from pipeline.store.copies import Copies
from pipeline.store.reach import Reach

logger = logging.getLogger(__name__)
_USED_AGAIN_S = 6 * 3600
"""How often a use of what is cached is told to the server, which collects what was longest unused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStore:
    """A store at an address; it has the methods of ``Store``."""

    cache: Store
    copies: Copies
    reading: Reach
    writing_there: Reach
    leases: Leases | None
    """None: nobody else writes to it."""

    def __str__(self) -> str:
        return str(self.copies.objects)

    @property
    def in_use(self) -> InUse:
        """What this process uses, of the cache."""
        return self.cache.in_use

    def check(self) -> None:
        """Raise UserError where the cache or the address can't be used."""
        self.cache.check()
        self.copies.objects.check()

    def get(self, key: str) -> Entry | None:
        """The entry, verified, in the cache and in use from now on; None where there is none. Raises CorruptEntry where
        its only copy is damaged."""
        is_old = time.time() - self._last_use(key) > _USED_AGAIN_S
        entry = self._cached(key)
        if entry is not None and self._mark(key).exists():
            self._send(entry)
        if entry is None:
            entry = self._fetched(key)
        if entry is not None and is_old:
            self.writing_there.attempt(lambda: self.copies.note_use(key), None)
        return entry

    def peek(self, key: str, *, verified: bool = True) -> Entry | None:
        """The entry, without counting as its use. Where it need not be ``verified``, its files are not fetched, and may
        not lie where its path says."""
        try:
            entry = self.cache.peek(key, verified=verified)
        except CorruptEntry:
            entry = None
        if entry is not None or verified:
            return entry or self._fetched(key)
        told = self.reading.attempt(lambda: self.copies.told(key), None)
        if told is None:
            return None
        return Entry(key, Artifact(self.cache.root / key / "artifact", told.format, told.digest), told.facts)

    def facts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The label and the facts of what is cached; the server is not asked for all that it has."""
        return self.cache.facts()

    def writing(self, key: str) -> AbstractContextManager[Path]:
        """An empty folder to write a new artifact into, as ``Store.writing`` gives it."""
        return self.cache.writing(key)

    def put(self, key: str, written: Path, format: Format, label: str, facts: Mapping[str, Any]) -> Entry:
        """Make the files the entry of ``key``, here and at the address."""
        mark = self._mark(key)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()  # before there is anything to send, or a killed process would leave what is never sent
        entry = self.cache.put(key, written, format, label, facts)
        self._send(entry)
        return entry

    def work(self, key: str) -> Path:
        """A folder for checkpoints on this machine."""
        return self.cache.work(key)

    def finish_work(self, key: str) -> None:
        """Remove the checkpoints of a stage that is done."""
        self.cache.finish_work(key)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """A lock that is held while an entry is made: of this machine's processes, and of all machines."""
        with self.cache.lock(key), ExitStack() as held:
            leases = self.leases
            if leases is not None:
                self.writing_there.attempt(lambda: held.enter_context(leases.held(key, BUILDING)), None)
            yield

    def remove(self, key: str) -> None:
        """Remove an entry here and at the address."""
        self.cache.remove(key)
        self.writing_there.attempt(lambda: self.copies.remove(key), None)

    def entries(self) -> list[EntrySummary]:
        """What is cached, the longest unused one first; ``store.collecting`` lists what lies at the address."""
        return self.cache.entries()

    def collect(self, max_gb: float) -> list[EntrySummary]:
        """Send what is unsent, and keep the cache to a size; what can't be sent stays. What lies at the address stays,
        too: only ``store gc`` collects there."""
        with InUse() as kept:
            for key in [path.name for path in self._mark("").glob("*")]:
                self._send_later(key, kept)
            return self.cache.collect(max_gb)

    def sweep(self) -> None:
        """Remove the files that killed runs have left in the cache."""
        self.cache.sweep()

    def _cached(self, key: str) -> Entry | None:
        try:
            return self.cache.get(key)
        except CorruptEntry as error:
            logger.warning("in the cache %s, %s: it is fetched again", self.cache, error)
            self.cache.remove(key)
            return None

    def _fetched(self, key: str) -> Entry | None:
        """The entry, downloaded into the cache by one process of this machine; None where it is not at the address, or
        that is away."""
        told = self.reading.attempt(lambda: self.copies.told(key), None)
        if told is None:
            return None
        path = self.cache.root / ".locks" / f"{key}.download"
        with reporting_store(self.cache.root), locked(path, "a model that another run downloads"):
            entry = self._cached(key)
            if entry is not None and entry.artifact.digest == told.digest:
                return entry
            with self.cache.writing(key) as out:
                fetched = self.reading.attempt(lambda: self.copies.fetch(key, told, out), None)
                if fetched is None:
                    return None
                return self.cache.put(key, fetched, told.format, told.label, told.facts)

    def _send(self, entry: Entry) -> None:
        """Upload an entry, and take its mark away once that is done."""

        def send() -> bool:
            self.copies.send(entry.key, self.cache.root / entry.key, entry.artifact.digest)
            return True

        if self.writing_there.attempt(send, False):
            self._mark(entry.key).unlink(missing_ok=True)

    def _send_later(self, key: str, kept: InUse) -> None:
        """Send an entry that an earlier try left, or keep it."""
        try:
            entry = self.cache.peek(key)
        except CorruptEntry:
            entry = None
        if entry is None:
            self._mark(key).unlink(missing_ok=True)
            return
        self._send(entry)
        if self._mark(key).exists():
            kept.add(self.cache.root / key)

    def _mark(self, key: str) -> Path:
        return self.cache.root / ".unsent" / key

    def _last_use(self, key: str) -> float:
        try:
            return (self.cache.root / key / "entry.json").stat().st_mtime
        except OSError:
            return 0.0
