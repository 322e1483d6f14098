"""What lies at a store's address, and how room is made there. Times are the server's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.artifact.store import BYTES_PER_GB, EntrySummary, Sealed, check_limit, sealed
from pipeline.errors import CorruptEntry
from pipeline.folders.locks import STALE_S
from pipeline.store.copies import ENTRY, USED, Copies
from pipeline.store.objects import ObjectInfo, Objects
from pipeline.store.place import LEASES

_CLOCK = ".clock"
_KEY = re.compile("[0-9a-f]{64}")
"""Nothing else that lies at the address is a store's."""
_YOUNG_S = 15 * 60
"""What was written or used so lately may be on its way to somebody."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """What lies under a key."""

    key: str
    objects: Sequence[ObjectInfo]

    @property
    def is_entry(self) -> bool:
        return any(info.name == f"{self.key}/{ENTRY}" for info in self.objects)

    @property
    def size_bytes(self) -> int:
        return sum(info.size_bytes for info in self.objects)

    @property
    def used(self) -> float:
        """When its entry was written or last used."""
        names = (f"{self.key}/{ENTRY}", f"{self.key}/{USED}")
        return max((info.written for info in self.objects if info.name in names), default=self.changed)

    @property
    def changed(self) -> float:
        return max(info.written for info in self.objects)

    def beside(self, digest: str) -> list[ObjectInfo]:
        """Files that are not of the entry: another writer's, or what an upload that was cut off left."""
        own = (f"{self.key}/{digest}/", f"{self.key}/{ENTRY}", f"{self.key}/{USED}")
        return [info for info in self.objects if not info.name.startswith(own)]


def entries_at(objects: Objects) -> list[EntrySummary]:
    """All entries at an address, the longest unused one first."""
    listed = [one for one in _listed(objects.find()) if one.is_entry]
    texts = objects.read_all([f"{one.key}/{ENTRY}" for one in listed])
    found = [_summary(one, _label(one.key, texts.get(f"{one.key}/{ENTRY}"))) for one in listed]
    return sorted(found, key=lambda summary: summary.used)


def collect_at(objects: Objects, max_gb: float) -> list[EntrySummary]:
    """Remove the longest unused entries at an address until at most ``max_gb`` are left, and what uploads that were cut
    off more than a day ago have left.

    What is being built, and what was used in the last quarter of an hour, stays. Returns the entries removed; raises
    UserError for a limit that is no size.
    """
    check_limit(max_gb)
    objects.write(_CLOCK, b"")
    found = objects.find()
    now = next((info.written for info in found if info.name == _CLOCK), 0.0)
    _remove(objects, [info for info in found if _is_left_over(info, now)])
    listed = _listed(found)
    _sweep(objects, listed, now)
    entries = sorted((one for one in listed if one.is_entry), key=lambda one: one.used)
    total = sum(one.size_bytes for one in entries)
    removed = []
    for one in entries:
        if total <= max_gb * BYTES_PER_GB:
            break
        if now - one.used > _YOUNG_S and not objects.names(f"{LEASES}/{one.key}"):
            Copies(objects).remove(one.key)
            total -= one.size_bytes
            removed.append(_summary(one, ""))
    return removed


def _sweep(objects: Objects, listed: Iterable[_Listed], now: float) -> None:
    """Remove files that no entry names and that are older than a day."""
    for one in listed:
        if not one.is_entry:
            _remove(objects, [info for info in one.objects if now - one.changed > STALE_S])
            continue
        if len({info.name.split("/")[1] for info in one.objects} - {ENTRY, USED}) > 1:
            text = objects.read(f"{one.key}/{ENTRY}")
            told = _told(one.key, text)
            old = [] if told is None else [info for info in one.beside(told.digest) if now - info.written > STALE_S]
            _remove(objects, old)


def _is_left_over(info: ObjectInfo, now: float) -> bool:
    """Whether it is a lease that nobody has renewed for a day."""
    return info.name.startswith(f"{LEASES}/") and now - info.written > STALE_S


def _remove(objects: Objects, infos: Iterable[ObjectInfo]) -> None:
    for info in infos:
        objects.remove(info.name)


def _listed(found: Iterable[ObjectInfo]) -> list[_Listed]:
    by_key: dict[str, list[ObjectInfo]] = {}
    for info in found:
        key, _, name = info.name.partition("/")
        if name and _KEY.fullmatch(key):
            by_key.setdefault(key, []).append(info)
    return [_Listed(key, objects) for key, objects in by_key.items()]


def _summary(one: _Listed, label: str) -> EntrySummary:
    return EntrySummary(one.key, label, one.size_bytes, one.used)


def _label(key: str, text: bytes | None) -> str:
    told = _told(key, text)
    return "unreadable" if told is None else told.label


def _told(key: str, text: bytes | None) -> Sealed | None:
    """What an entry.json tells; None where it is missing or can't be read."""
    try:
        return None if text is None else sealed(key, text)
    except (ValueError, KeyError, TypeError, RecursionError, CorruptEntry):
        return None
