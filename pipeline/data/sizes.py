"""Checks how large a file's content is before anything is unpacked."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.data import rows
from pipeline.data.rows import npy_header
from pipeline.errors import UserError

_GB = 1e9
_SHARE = 0.5
"""The share of the free memory, or of the free disk, that the data may take: what it is turned into takes some, too."""


def check_file(path: Path, what: str) -> None:
    """Raise UserError where ``path`` is no regular file (or link to one); ``what`` says what to give instead."""
    if path.is_file():
        return
    if path.exists():
        kind = "folder" if path.is_dir() else "device or pipe"
        raise UserError(f"{path} is a {kind}, not a file: {what}")
    raise UserError(f"{path} does not exist: {what}")


def check_npz(path: Path, max_gb: float | None) -> None:
    """Raise UserError where a .npz file would unpack to more than ``max_gb`` or than the disk of temporary files has
    room for, or promises what it does not hold.

    Raises the errors of ``zipfile`` and NumPy where it is damaged.
    """
    total = packed = 0
    for name, promised, held, compressed in _members(path):
        if promised > held:
            raise UserError(
                f"{path}: '{name}' promises {_size(promised)} and holds {_size(held)}: the file is damaged, or made to "
                "harm; save it anew"
            )
        total += held
        packed += held if compressed else 0
    if max_gb is not None:
        check_memory(total, f"{path} unpacks to", max_gb)
    check_room(packed, f"{path} unpacks to", max_gb, "save it with numpy.savez, which packs nothing")


def check_memory(needed: int, what: str, max_gb: float | None, instead: str = "give fewer examples") -> None:
    """Raise UserError where ``needed`` bytes are more than ``data.max_gb``, or than half of the memory that is free."""
    free = free_bytes()
    bound = max_gb * _GB if max_gb is not None else math.inf if free is None else _SHARE * free
    if needed > bound:
        said = "data.max_gb" if max_gb is not None else "half of the memory that is free"
        raise UserError(
            f"{what} {_size(needed)}, more than {said} ({_size(bound)}): {instead}, or allow it with "
            f"data.max_gb={math.ceil(needed / _GB)}"
        )


def check_room(needed: int, what: str, max_gb: float | None, instead: str) -> None:
    """Raise UserError where ``needed`` bytes are more than ``data.max_gb``, or than half of what is free on the disk of
    temporary files: what is too large for memory lies there."""
    if max_gb is not None:
        check_memory(needed, what, max_gb, instead)
        return
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > max(rows.IN_MEMORY, _SHARE * free):
        raise UserError(
            f"{what} {_size(needed)}, more than half of what is free in {folder} ({_size(_SHARE * free)}): {instead}, "
            "or set TMPDIR to a folder on a larger disk"
        )


def free_bytes() -> int | None:
    """The memory that this process can still get; None where the system doesn't say."""
    found = [size for size in (_available(), _container_limit()) if size is not None]
    return min(found, default=None)


def _members(path: Path) -> Iterator[tuple[str, int, int, bool]]:
    """Each array's name, the bytes that its header promises, the bytes that are there for it, and whether they are
    compressed."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as file:
                shape, _, dtype = npy_header(file)
                if dtype.hasobject:
                    raise UserError(
                        f"{path} can't be read: '{name}' holds Python objects (rows of different lengths, as a rule), "
                        "which are pickled, and reading them could run code: store one array of numbers or text"
                    )
                compressed = member.compress_type != zipfile.ZIP_STORED
                yield name, math.prod(shape) * dtype.itemsize, member.file_size - file.tell(), compressed


def _size(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f} bytes"


def _available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _container_limit() -> int | None:
    """What a container may use; what it uses includes files that can be dropped, so it is not subtracted."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        return None
