"""Leases in a folder on a disk that several machines share.

A file is made with O_EXCL, which a server of NFS decides, and replaced by a rename. Locks of the disk are not needed.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.folders.locks import STALE_S

_TRIES = 100


@dataclass(frozen=True, slots=True)
class FolderLeases:
    """The leases in a folder, a folder for each task."""

    root: Path

    def names(self, folder: str) -> list[str]:
        """What lies in a task's folder; empty where there is none."""
        try:
            return [path.name for path in (self.root / folder).iterdir()]
        except FileNotFoundError:
            return []

    def create(self, name: str, content: bytes) -> bool:
        """Make a file; False where it exists."""
        path = self.root / name
        for _ in range(_TRIES):  # whoever lets go may remove the folder between the two steps
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as file:
                    file.write(content)
                return True
            except FileExistsError:
                return False
            except FileNotFoundError:
                continue
        return False

    def read(self, name: str) -> bytes | None:
        """The content; None where there is none."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Replace the content in one step."""
        path = self.root / name
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            with suppress(FileNotFoundError):  # the folder is gone with the lease, which the next beat sees
                temporary.write_bytes(content)
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file, if it exists, and its folder where it was the last."""
        path = self.root / name
        path.unlink(missing_ok=True)
        with suppress(OSError):
            path.parent.rmdir()

    def sweep(self) -> None:
        """Remove what killed processes have left while they wrote."""
        for path in self.root.glob("*/.*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE_S:
                    path.unlink()
                    path.parent.rmdir()
