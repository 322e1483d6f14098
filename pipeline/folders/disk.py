"""How much room a disk has."""

from __future__ import annotations

import shutil
from pathlib import Path


def free_bytes(path: Path) -> int:
    """The free bytes of the disk that a file or a folder lies on, or would lie on."""
    place = path.absolute()
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    return shutil.disk_usage(existing).free
