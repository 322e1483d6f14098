"""The copy of a stored entry on an object store.

<address>/<key>/<digest>/…    the model's files
<address>/<key>/entry.json    what the local store's entry.json holds; written last, so that half an upload is no entry
<address>/<key>/used          written when it was last used
<address>/.leases/<key>/…     who builds it (``pipeline.folders.lease``)

Two writers of one key never mix their files, as those lie under the digest of their bytes; the later entry.json counts.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.artifact.files import folder_digest, model_files
from pipeline.artifact.store import Sealed, sealed
from pipeline.errors import CorruptEntry
from pipeline.store.objects import Objects

ENTRY, USED = "entry.json", "used"
_DOWNLOADS = 2
"""A download that does not verify is made once more: it may have been the network."""


@dataclass(frozen=True, slots=True)
class Copies:
    """The copies of entries below an address."""

    objects: Objects

    def told(self, key: str) -> Sealed | None:
        """What the copy's entry.json tells; None where there is none. Raises CorruptEntry."""
        text = self.objects.read(f"{key}/{ENTRY}")
        if text is None:
            return None
        try:
            return sealed(key, text)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptEntry(f"the entry {key[:12]} at {self.objects} can't be read: {error}") from error
        except CorruptEntry as error:
            raise CorruptEntry(f"{error}, at {self.objects}") from error

    def send(self, key: str, folder: Path, digest: str) -> None:
        """Upload an entry's folder: its files first, then what makes them an entry."""
        files = folder / "artifact"
        for path in model_files(files):
            self.objects.upload(path, f"{key}/{digest}/{path.relative_to(files).as_posix()}")
        self.objects.write(f"{key}/{ENTRY}", (folder / ENTRY).read_bytes())

    def fetch(self, key: str, told: Sealed, out: Path) -> Path:
        """Download the files of a copy into an empty folder, verify them and return it; raises CorruptEntry."""
        for _ in range(_DOWNLOADS):
            for name in self._files(key, told.digest):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # removed meanwhile, which the digest tells
                    self.objects.download(f"{key}/{told.digest}/{name}", out / name)
            if folder_digest(out) == told.digest:
                return out
        raise CorruptEntry(
            f"stored entry {key[:12]} ({told.label}) at {self.objects} has changed since it was written, or lacks files"
        )

    def remove(self, key: str) -> None:
        """Remove a copy: what makes it an entry first, then its files."""
        self.objects.remove(f"{key}/{ENTRY}")
        for info in self.objects.find(key):
            self.objects.remove(info.name)

    def note_use(self, key: str) -> None:
        """Write down that the entry was used now."""
        self.objects.write(f"{key}/{USED}", b"")

    def _files(self, key: str, digest: str) -> list[PurePosixPath]:
        root = f"{key}/{digest}/"
        names = [PurePosixPath(info.name.removeprefix(root)) for info in self.objects.find(root)]
        if any(name.is_absolute() or ".." in name.parts for name in names):
            raise CorruptEntry(f"stored entry {key[:12]} at {self.objects} has files that lie outside of it")
        return names
