"""What lies in the store, told on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console

from pipeline.artifact.store import EntrySummary
from pipeline.errors import Unreachable, UserError
from pipeline.report.formats.printing import tell
from pipeline.results import numbers as show
from pipeline.store import StorePlace, open_store
from pipeline.store.collecting import collect_at, entries_at
from pipeline.store.objects import Objects


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What can be done with the entries of a store."""

    entries: Callable[[], list[EntrySummary]]
    collect: Callable[[float], list[EntrySummary]]


def show_store(place: StorePlace, max_gb: float | None, console: Console) -> int:
    """List the store's entries or, given a limit, remove the longest unused ones down to it.

    Raises UserError where it is no store, or its server refuses.
    """
    try:
        return _show(place, max_gb, console)
    except Unreachable as error:
        raise UserError(str(error)) from error


def _show(place: StorePlace, max_gb: float | None, console: Console) -> int:
    kept = _kept(place)
    if max_gb is not None:
        removed = kept.collect(max_gb)
        count = len(removed) + len(kept.entries())
        tell(console, f"removed {len(removed)} of {count} entries, {_megabytes(removed)} MB")
        return 0
    if place.address is None and not place.folder.exists():
        tell(console, f"{place} does not exist: 0 entries")
        return 0
    entries = kept.entries()
    for entry in reversed(entries):
        used = datetime.fromtimestamp(entry.used).isoformat(" ", "minutes")
        line = f"{entry.key[:12]}  {show.megabytes(entry.size_bytes):>8} MB  used {used}  {entry.label}"
        tell(console, line)
    tell(console, f"{len(entries)} entries, {_megabytes(entries)} MB in {place}")
    return 0


def _kept(place: StorePlace) -> _Kept:
    if place.address is None:
        store = open_store(place)
        store.check()
        return _Kept(entries=store.entries, collect=store.collect)
    objects = Objects(place.address, place.options)
    objects.check()
    return _Kept(entries=lambda: entries_at(objects), collect=lambda max_gb: collect_at(objects, max_gb))


def _megabytes(entries: Sequence[EntrySummary]) -> str:
    return show.megabytes(sum(entry.size_bytes for entry in entries))
