"""The content-addressed store of what stages built: atomic, verified on read, safe to stop at any point.

<root>/<key>/artifact/…    the model's files
<root>/<key>/entry.json    format, digest and what was noted when it was built
<root>/.work/<key>/        a stage's checkpoints, until it is done
<root>/.new/…              what is being written; renamed into place in one step
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.artifact import Artifact, Format, folder_digest
from pipeline.errors import CorruptEntry, reporting_full_disk

logger = logging.getLogger(__name__)
STALE_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored artifact and the facts kept beside it."""

    key: str
    artifact: Artifact
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EntrySummary:
    """One line of ``store list``."""

    key: str
    label: str
    size_bytes: int
    used: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of entries, each under the sha256 of everything that it was made from."""

    root: Path

    def get(self, key: str) -> Entry | None:
        """The entry, verified; None where there is none. Raises CorruptEntry where its bytes have changed."""
        folder = self.root / key
        try:
            plain = json.loads((folder / "entry.json").read_text())
            artifact = Artifact(folder / "artifact", plain["format"], plain["digest"])
            facts = plain["facts"]
        except FileNotFoundError:
            if folder.exists():
                raise CorruptEntry(f"stored entry {key[:12]} has no entry.json") from None
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptEntry(f"stored entry {key[:12]} has an entry.json that can't be read: {error}") from error
        if folder_digest(artifact.path) != artifact.digest:
            raise CorruptEntry(f"stored entry {key[:12]} ({plain['label']}) has changed since it was written")
        os.utime(folder / "entry.json")
        return Entry(key, artifact, facts)

    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """An empty folder to write a new artifact into; ``put`` moves it into place, leaving the block removes it."""
        parent = self.root / ".new"
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{key[:12]}-", dir=parent))
        (folder / "artifact").mkdir()
        try:
            with reporting_full_disk(self.root):
                yield folder / "artifact"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def put(self, key: str, written: Path, format: Format, label: str, facts: Mapping[str, Any]) -> Entry:
        """Make what was written under ``writing`` the entry of ``key``, in one step."""
        digest = folder_digest(written)
        plain = {"label": label, "format": format, "digest": digest, "facts": dict(facts)}
        (written.parent / "entry.json").write_text(json.dumps(plain, indent=1) + "\n")
        destination = self.root / key
        if destination.exists():
            self.remove(key)
        written.parent.replace(destination)
        return Entry(key, Artifact(destination / "artifact", format, digest), dict(facts))

    def work(self, key: str) -> Path:
        """A folder for checkpoints that stays when a run is stopped."""
        folder = self.root / ".work" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def finish_work(self, key: str) -> None:
        """Remove the checkpoints of a stage that is done."""
        shutil.rmtree(self.root / ".work" / key, ignore_errors=True)

    def lock(self, key: str) -> FileLock:
        """Held while an entry is made, so that two runs build it once."""
        (self.root / ".locks").mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / ".locks" / key)

    def remove(self, key: str) -> None:
        """Remove an entry in one step, then its bytes."""
        trash = self.root / ".new"
        trash.mkdir(parents=True, exist_ok=True)
        doomed = Path(tempfile.mkdtemp(prefix="removed-", dir=trash))
        (self.root / key).replace(doomed / key)
        shutil.rmtree(doomed, ignore_errors=True)

    def entries(self) -> list[EntrySummary]:
        """All entries, the longest unused first."""
        summaries = []
        for path in self.root.glob("*/entry.json"):
            size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
            try:
                label = str(json.loads(path.read_text())["label"])
            except (ValueError, KeyError, TypeError):
                label = "unreadable"
            summaries.append(EntrySummary(path.parent.name, label, size, path.stat().st_mtime))
        return sorted(summaries, key=lambda summary: summary.used)

    def collect(self, max_bytes: int) -> list[EntrySummary]:
        """Remove the longest unused entries until at most ``max_bytes`` are left, and what stopped runs left behind a
        day ago or more; returns the entries removed."""
        for leftover in [*self.root.glob(".new/*"), *self.root.glob(".work/*")]:
            if time.time() - leftover.stat().st_mtime > STALE_S:
                shutil.rmtree(leftover, ignore_errors=True)
        entries = self.entries()
        total = sum(entry.size_bytes for entry in entries)
        removed = []
        for entry in entries:
            if total <= max_bytes:
                break
            self.remove(entry.key)
            total -= entry.size_bytes
            removed.append(entry)
        return removed
