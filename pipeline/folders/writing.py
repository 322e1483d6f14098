"""Writes files and folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import reporting_disk


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to; at the block's end the file gets its own name. A reader never
    sees half of the file. Where the block fails, ``path`` stays as it was and nothing is left beside it."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole, as UTF-8 with its line ends as they are.

    Halves of characters, as a file's name may hold, are written out as JSON does it.
    """
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Give a new folder that becomes ``out`` when the block ends well, and is removed when it doesn't. What was there
    before is replaced. Raises OutOfSpace where the disk is full."""
    folder = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.new")
    old = folder.with_suffix(".old")
    try:
        with reporting_disk(out):
            folder.mkdir(parents=True)
            yield folder
            if out.exists():
                out.replace(old)
            folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if old.exists() and not out.exists():
            old.replace(out)
        shutil.rmtree(old, ignore_errors=True)
