"""Is a bundle's folder what was written? Nothing in it is loaded or run here."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifact.onnx_file import is_inside
from pipeline.bundle import manifest as manifests
from pipeline.bundle.check import Check, from_problems
from pipeline.bundle.slimline_infer.values import printable
from pipeline.bundle.sums import SUMS_FILE
from pipeline.errors import WorkerFailed

COMPILED = ("__pycache__", ".pyc", ".pyo", ".so", ".pyd")
SIGNATURE_FILE = "model.sig"
"""The one file that the manifest does not list: it is made after it, of it too (``pipeline.bundle.signature``)."""
MOST_ENTRIES = 2000
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_CHUNK = 2**20


def read_manifest(folder: Path) -> tuple[dict[str, Any] | None, list[Check]]:
    """The manifest, where it passed its checks: it is there, valid by its schema and unchanged, and names no path
    outside the folder."""
    path = folder / manifests.MANIFEST_FILE
    try:
        content = content_of(path, manifests.MOST_BYTES)
        manifest = manifests.parse(content)
        problems = manifests.problems(manifest, content)
    except (OSError, manifests.Unreadable) as error:
        return None, [Check("manifest", False, _told(error))]
    valid = from_problems("manifest", problems, "valid by its schema, and unchanged")
    if not valid.passed:
        return None, [valid]
    outside = [
        f"{manifests.MANIFEST_FILE} names '{printable(name)}', which leads outside the folder"
        for name in manifest["files"]
        if not is_inside(name)
    ]
    return manifest, [valid, from_problems("paths", outside, "every path in the manifest stays inside the folder")]


def check_files(
    folder: Path, manifest: Mapping[str, Any], seconds: float, itself: str = manifests.MANIFEST_FILE
) -> list[Check]:
    """Every file of the manifest is there and has its size and its sha256, and beside the sums there is no other.

    ``itself`` is the manifest's own file. Raises WorkerFailed where that takes longer than ``seconds``.
    """
    files: Mapping[str, Mapping[str, Any]] = manifest["files"]
    entries = list(entries_below(folder))
    if len(entries) > MOST_ENTRIES:
        return [Check("files present", False, f"the folder holds more than {MOST_ENTRIES} files and folders")]
    present = {path.relative_to(folder).as_posix(): kind for path, kind in entries}
    present.pop(itself, None)
    if present.get(SIGNATURE_FILE) == "a file":
        del present[SIGNATURE_FILE]
    plain = {name for name, kind in present.items() if kind == "a file"}
    missing = [f"{printable(name)} is {present.get(name, 'missing')}" for name in sorted({*files, SUMS_FILE} - plain)]
    present.pop(SUMS_FILE, None)
    folders = {parent.as_posix() for name in files for parent in Path(name).parents}
    unexpected = [
        f"{printable(name)} ({kind}) is not in the manifest{_advice(name)}"
        for name, kind in sorted(present.items())
        if name not in files and not (kind == "a folder" and name in folders)
    ]
    there = from_problems("files present", missing, f"all {len(files)} files of the manifest are there")
    alone = from_problems("no other files", unexpected, "nothing else lies in the folder")
    if not (there.passed and alone.passed):
        return [there, alone]
    return [there, alone, _unchanged(folder, files, time.monotonic() + seconds)]


def _unchanged(folder: Path, files: Mapping[str, Mapping[str, Any]], deadline: float) -> Check:
    """The sizes first: what is not as large as it should be need not be read."""
    problems = [
        f"{printable(name)} was changed: it has {size} bytes, not the manifest's {entry['bytes']}"
        for name, entry in sorted(files.items())
        if (size := (folder / name).lstat().st_size) != entry["bytes"]
    ]
    problems = problems or [
        f"{printable(name)} was changed: its sha256 is not the manifest's"
        for name, entry in sorted(files.items())
        if _digest(folder / name, deadline) != entry["sha256"]
    ]
    return from_problems("files unchanged", problems, "every file has the size and the sha256 of the manifest")


def _digest(path: Path, deadline: float) -> str:
    digest = hashlib.sha256()
    with _open(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            if time.monotonic() > deadline:
                raise WorkerFailed("reading the files took too long: --timeout SECONDS allows more")
    return digest.hexdigest()


def content_of(path: Path, most: int) -> bytes:
    """The bytes of a plain file; raises Unreadable where it is none or holds more than ``most``, and OSError."""
    with _open(path) as file:
        content: bytes = file.read(most + 1)
    if len(content) > most:
        raise manifests.Unreadable(f"{path.name} is larger than {most} bytes")
    return content


def _open(path: Path) -> Any:
    """A plain file for reading; a link is not followed, and a pipe is not waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    kind = kind_of(path)
    if kind != "a file":
        raise manifests.Unreadable(f"{path.name} is {kind}, not a plain file")
    return os.fdopen(os.open(path, flags), "rb")


def entries_below(folder: Path) -> Iterator[tuple[Path, str]]:
    """Whatever lies below a folder, and what it is; links are not followed, and more than the most are not listed."""
    waiting, count = [folder], 0
    while waiting:
        for path in waiting.pop().iterdir():
            kind = kind_of(path)
            yield path, kind
            count += 1
            if count > MOST_ENTRIES:
                return
            if kind == "a folder":
                waiting.append(path)


def kind_of(path: Path) -> str:
    """What lies at a path, in words; a link is not followed."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return "missing"
    if stat.S_ISREG(mode):
        return "a file"
    return "a folder" if stat.S_ISDIR(mode) else next((name for test, name in _KINDS if test(mode)), "no file")


def _advice(name: str) -> str:
    if not any(part in COMPILED or part.endswith(COMPILED[1:]) for part in Path(name).parts):
        return ""
    return ": Python would run it in place of the program, remove it"


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{manifests.MANIFEST_FILE} can't be read: {error.strerror}"
    return str(error)
