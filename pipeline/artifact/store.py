"""The content-addressed store of what stages built: atomic, verified on read, safe to stop at any point.

<root>/<key>/artifact/…    the model's files
<root>/<key>/entry.json    format, digest and what was noted when it was built, under a digest of its own
<root>/.work/<key>/        a stage's checkpoints, until it is done
<root>/.new/…              what is being written or removed; renamed into place in one step
<root>/.locks/<key>        held while an entry is made, and gone afterwards
<root>/.leases/<key>/…     the same, where several machines share the disk (``pipeline.folders.lease``)

Reading needs no right to write: a read-only store serves the entries that it has.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pipeline.artifact.files import Artifact, Format, folder_digest
from pipeline.errors import CorruptEntry, UserError, in_words, reporting_disk
from pipeline.folders.lease import Leases
from pipeline.folders.lease_files import FolderLeases
from pipeline.folders.locks import STALE_S, InUse, age_s, owned_folder, sweep, unused
from pipeline.folders.waiting import locked, try_lock

logger = logging.getLogger(__name__)
BYTES_PER_GB = 10**9
BUILDING = "a model that another run builds"
_ADVICE = "take a store in another place: store.path=FOLDER in a run, --path FOLDER for store"
_KEY = re.compile("[0-9a-f]{64}")
_DAMAGED = (errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO, errno.ENAMETOOLONG, errno.EINVAL)
"""What reading an entry may come to, where it is the entry that is wrong."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored artifact and the facts kept beside it."""

    key: str
    artifact: Artifact
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What an entry.json tells."""

    label: str
    format: Format
    digest: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EntrySummary:
    """One line of ``store list``."""

    key: str
    label: str
    size_bytes: int
    used: float
    """The time of the last use, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of entries, each under the sha256 of everything that it was made from.

    An entry that ``get`` or ``put`` returns is in use until ``in_use`` is closed: no other run removes it.
    """

    root: Path
    in_use: InUse = field(default_factory=InUse, compare=False, repr=False)
    leases: Leases | None = field(default=None, compare=False)
    """What stands in for locks where several machines share the disk."""

    def __str__(self) -> str:
        return str(self.root)

    def check(self) -> None:
        """Raise UserError where the path can't be a store."""
        if os.path.lexists(self.root) and not self.root.is_dir():
            raise UserError(f"{self.root} is not a folder, so it can't be a store: type the path of a folder")

    def get(self, key: str) -> Entry | None:
        """The entry, verified, in use from now on; None where there is none. Raises CorruptEntry where its bytes have
        changed."""
        entry = self._found(key, self.in_use.add)
        if entry is not None:
            with suppress(OSError):  # a store that can't be written serves all the same
                os.utime(self.root / key / "entry.json")
        return entry

    def peek(self, key: str, *, verified: bool = True) -> Entry | None:
        """The entry as ``get`` gives it, and nothing is marked: it does not count as used. Where it need not be
        ``verified``, its files are not read."""
        return self._found(key, lambda folder: None, verified=verified)

    def facts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The label and the facts of every entry that can be read, the longest unused one first; its model is not
        verified."""
        for summary in self.entries():
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError, CorruptEntry):
                told = sealed(summary.key, (self.root / summary.key / "entry.json").read_bytes())
                yield told.label, told.facts

    def _found(self, key: str, mark: Callable[[Path], None], *, verified: bool = True) -> Entry | None:
        folder = self.root / key
        try:
            mark(folder)
            return _read(key, folder, verified=verified)
        except FileNotFoundError as error:
            if os.path.lexists(folder):
                raise CorruptEntry(f"stored entry {key[:12]} is not whole: {error}") from error
            return None
        except OSError as error:
            if error.errno not in _DAMAGED:
                raise in_words(error, self.root, _ADVICE) from error
            raise CorruptEntry(f"stored entry {key[:12]} can't be read: {error}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptEntry(f"stored entry {key[:12]} has an entry.json that can't be read: {error}") from error

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """An empty folder to write a new artifact into; ``put`` moves it into place, and leaving the block removes
        it."""
        with reporting_store(self.root), self._new(f"{key[:12]}-") as folder:
            (folder / "artifact").mkdir()
            yield folder / "artifact"

    def put(self, key: str, written: Path, format: Format, label: str, facts: Mapping[str, Any]) -> Entry:
        """Make the files that were written under ``writing`` the entry of ``key``, in one step."""
        digest = folder_digest(written)
        plain = {"label": label, "format": format, "digest": digest, "facts": dict(facts)}
        read = json.loads(json.dumps(plain))  # a key that is no string is one when it is read
        (written.parent / "entry.json").write_text(json.dumps({**read, "seal": _seal(read)}, indent=1) + "\n")
        destination = self.root / key
        if os.path.lexists(destination):
            self.remove(key)
        written.parent.replace(destination)
        self.in_use.add(destination)
        return Entry(key, Artifact(destination / "artifact", format, digest), dict(facts))

    def work(self, key: str) -> Path:
        """A folder for checkpoints that stays when a run is stopped."""
        folder = self.root / ".work" / key
        with reporting_store(self.root):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish_work(self, key: str) -> None:
        """Remove the checkpoints of a stage that is done."""
        shutil.rmtree(self.root / ".work" / key, ignore_errors=True)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """A lock that is held while an entry is made, so that two runs build it once."""
        local, leases = self.root / ".locks" / key, self.leases
        with reporting_store(self.root), leases.held(key, BUILDING) if leases else locked(local, BUILDING):
            yield

    def remove(self, key: str) -> None:
        """Remove an entry in one step, then its bytes."""
        with reporting_store(self.root), self._new("removed-") as doomed, suppress(FileNotFoundError):
            (self.root / key).replace(doomed / key)  # not found: somebody else was faster

    def entries(self) -> list[EntrySummary]:
        """All entries, the longest unused one first."""
        with reporting_store(self.root):
            folders = [path for path in self.root.iterdir() if _is_entry(path)] if self.root.exists() else []
        found = [summary for folder in folders if (summary := _summary(folder)) is not None]
        return sorted(found, key=lambda summary: summary.used)

    def collect(self, max_gb: float) -> list[EntrySummary]:
        """Remove the longest unused entries until at most ``max_gb`` are left, and the files that killed runs have left
        behind.

        Entries that a run uses stay. Returns the entries removed; raises UserError for a limit that is no size.
        """
        check_limit(max_gb)
        self.sweep()
        entries = self.entries()
        total = sum(entry.size_bytes for entry in entries)
        removed = []
        for entry in entries:
            if total <= max_gb * BYTES_PER_GB:
                break
            if self._remove_unused(entry.key):
                total -= entry.size_bytes
                removed.append(entry)
        return removed

    def sweep(self) -> None:
        """Remove the files that killed runs have left behind. Checkpoints stay for a day, for a run that continues from
        them."""
        for folder in _inside(self.root / ".new"):
            sweep(folder)
        for folder in _inside(self.root / ".work"):
            self._sweep_work(folder)
        for path in _inside(self.root / ".locks"):
            with try_lock(path):
                pass  # a lock that was free is removed as it is let go
        FolderLeases(self.root / ".leases").sweep()

    def _sweep_work(self, folder: Path) -> None:
        if self.leases is not None and self.leases.is_held(folder.name):
            return
        with try_lock(self.root / ".locks" / folder.name) as free, suppress(OSError):
            is_idle = self.leases is None and not any(folder.iterdir())  # else another machine may just begin
            if free and (is_idle or age_s(folder) > STALE_S):
                shutil.rmtree(folder, ignore_errors=True)

    def _remove_unused(self, key: str) -> bool:
        with unused(self.root / key) as free:
            if free:
                self.remove(key)
            return free

    @contextmanager
    def _new(self, prefix: str) -> Iterator[Path]:
        parent = self.root / ".new"
        parent.mkdir(parents=True, exist_ok=True)
        with owned_folder(parent, prefix) as folder:
            yield folder


def key_of(artifact: Artifact) -> str:
    """The key of an artifact that lies in a store."""
    return artifact.path.parent.name


def reporting_store(root: Path) -> AbstractContextManager[None]:
    """Turn the system's errors of a store's disk into one line that says what to type."""
    command = f"python -m pipeline store gc --path {shlex.quote(str(root))} --max-gb 1"
    return reporting_disk(root, _ADVICE, f"remove what was longest unused ({command}), or ")


def _is_entry(path: Path) -> bool:
    """Whether a folder of the store is an entry, be it a damaged one; nothing else that lies there is touched."""
    return os.path.lexists(path / "entry.json") or _KEY.fullmatch(path.name) is not None


def check_limit(max_gb: float) -> None:
    """Raise UserError for a limit that is no size."""
    if not (math.isfinite(max_gb) and max_gb >= 0):
        raise UserError(f"a store can't be kept below {max_gb} GB: give a number from 0 on")


def sealed(key: str, text: bytes) -> Sealed:
    """An entry.json as it was written; raises CorruptEntry, or what reading other JSON raises, where it is not."""
    plain: dict[str, Any] = json.loads(text)
    if plain.pop("seal", None) != _seal(plain):
        raise CorruptEntry(f"stored entry {key[:12]} has an entry.json that is not as it was written")
    if plain["format"] not in get_args(Format) or not isinstance(plain["facts"], dict):
        raise CorruptEntry(f"stored entry {key[:12]} is none that this version reads")
    return Sealed(**plain)


def _read(key: str, folder: Path, *, verified: bool) -> Entry:
    told = sealed(key, (folder / "entry.json").read_bytes())
    artifact = Artifact(folder / "artifact", told.format, told.digest)
    if verified and folder_digest(artifact.path) != artifact.digest:
        raise CorruptEntry(f"stored entry {key[:12]} ({told.label}) has changed since it was written")
    return Entry(key, artifact, told.facts)


def _seal(plain: Mapping[str, Any]) -> str:
    """The sha256 over all else in entry.json: what an older version wrote has none, and is built again."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _summary(folder: Path) -> EntrySummary | None:
    """A line on the entry; None where it was removed meanwhile."""
    path = folder / "entry.json"
    try:
        label = str(json.loads(path.read_text())["label"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        label = "unreadable"
    try:
        size = sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
        return EntrySummary(folder.name, label, size, _used(folder))
    except OSError:
        return None


def _used(folder: Path) -> float:
    with suppress(OSError):
        return (folder / "entry.json").stat().st_mtime
    return folder.stat().st_mtime


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
