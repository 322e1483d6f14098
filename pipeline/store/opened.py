"""Opens the store of a place: a folder, or an address with its cache."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from pipeline.artifact import Format
from pipeline.artifact.store import Entry, EntrySummary, Store
from pipeline.folders.lease import Leases
from pipeline.folders.lease_files import FolderLeases
from pipeline.folders.locks import InUse
from pipeline.store.copies import Copies
from pipeline.store.objects import Objects
from pipeline.store.place import LEASES, StorePlace
from pipeline.store.reach import Reach
from pipeline.store.remote import RemoteStore


class ModelStore(Protocol):
    """What builds and reads models asks of a store; ``Store`` says what each method does."""

    @property
    def in_use(self) -> InUse:
        """What this process uses."""

    def check(self) -> None:
        """Raise UserError where it can't be used."""

    def get(self, key: str) -> Entry | None:
        """The entry, verified and in use from now on."""

    def peek(self, key: str, *, verified: bool = True) -> Entry | None:
        """The entry, without counting as its use."""

    def facts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The label and the facts of the entries."""

    def writing(self, key: str) -> AbstractContextManager[Path]:
        """An empty folder to write a new artifact into."""

    def put(self, key: str, written: Path, format: Format, label: str, facts: Mapping[str, Any]) -> Entry:
        """Make what was written the entry."""

    def work(self, key: str) -> Path:
        """A folder for checkpoints."""

    def finish_work(self, key: str) -> None:
        """Remove the checkpoints."""

    def lock(self, key: str) -> AbstractContextManager[None]:
        """Held while an entry is made."""

    def remove(self, key: str) -> None:
        """Remove an entry."""

    def entries(self) -> list[EntrySummary]:
        """All entries on this machine, the longest unused one first."""

    def collect(self, max_gb: float) -> list[EntrySummary]:
        """Keep what this machine has to a size."""

    def sweep(self) -> None:
        """Remove what killed runs have left."""


def open_store(place: StorePlace, in_use: InUse | None = None) -> ModelStore:
    """The store of a place; ``in_use`` marks what it gives."""
    marks = in_use or InUse()
    if place.address is None:
        leases = Leases(files=FolderLeases(place.folder / LEASES), pause_s=0.2) if place.is_shared else None
        return Store(place.folder, marks, leases)
    copies = Copies(Objects(place.address, place.options))
    reading, writing = _reaches(place.address, json.dumps(place.options, sort_keys=True, default=str), place.folder)
    return RemoteStore(
        cache=Store(place.folder, marks),
        copies=copies,
        reading=reading,
        writing_there=writing,
        leases=Leases(files=copies.objects.part(LEASES), pause_s=1.0) if place.is_shared else None,
    )


@cache
def _reaches(address: str, options: str, folder: Path) -> tuple[Reach, Reach]:
    """What is known of a server, for all stores of this process at the address."""
    going_on = f"the run goes on with what lies in {folder}"
    return (
        Reach(consequence=going_on),
        Reach(consequence=f"{going_on}, another machine may build the same, and what is built is sent by the next run"),
    )
