"""The objects below an address of an object store, by fsspec: read, written, made only where there is none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import SlimlineError, Unreachable, UserError
from pipeline.store.refusals import refusal

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
"""Where the file systems of fsspec tell when an object was written."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A line of a listing."""

    name: str
    """Its name below the address."""
    size_bytes: int
    written: float
    """When it was written by the server's clock, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Objects:
    """All objects below an address. What the server does not do is raised as Unreachable, in one line."""

    address: str
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    below: str = ""
    """The beginning of the names of all objects."""

    def __str__(self) -> str:
        return self.address

    def part(self, folder: str) -> Objects:
        """The objects in a folder."""
        return Objects(self.address, self.options, f"{self.below}{folder}/")

    def check(self) -> None:
        """Raise UserError where the address can't be listed, or needs a package that is missing."""
        try:
            with self._reaching():
                self._fs.find(self._path(".leases"))
        except Unreachable as error:
            raise UserError(str(error)) from error

    def names(self, folder: str) -> list[str]:
        """What lies in a folder, without the folder's name; empty where there is none."""
        try:
            with self._reaching():
                found = self._fs.ls(self._path(folder), detail=False)
                return [str(path).rstrip("/").rpartition("/")[2] for path in found]
        except FileNotFoundError:
            return []

    def create(self, name: str, content: bytes) -> bool:
        """Make an object; False where it exists. S3, Google's and Azure's servers decide it in one step."""
        try:
            with self._reaching():
                self._fs.pipe_file(self._path(name), content, mode="create")
        except FileExistsError:
            return False
        return True

    def read(self, name: str) -> bytes | None:
        """The content; None where there is none."""
        try:
            with self._reaching():
                return bytes(self._fs.cat_file(self._path(name)))
        except FileNotFoundError:
            return None

    def read_all(self, names: list[str]) -> dict[str, bytes]:
        """The contents of many objects, read side by side; without those that can't be read."""
        if not names:
            return {}
        with self._reaching():
            found = self._fs.cat([self._path(name) for name in names], on_error="omit")
        return {name: bytes(found[path]) for name in names if (path := self._path(name)) in found}

    def write(self, name: str, content: bytes) -> None:
        """Replace an object in one step."""
        with self._reaching():
            self._fs.pipe_file(self._path(name), content)

    def upload(self, file: Path, name: str) -> None:
        """Replace an object by a file; half of it is never seen."""
        with self._reaching():
            self._fs.put_file(str(file), self._path(name))

    def download(self, name: str, file: Path) -> None:
        """Write an object to a file; raises FileNotFoundError where there is none."""
        with self._reaching():
            self._fs.get_file(self._path(name), str(file))

    def remove(self, name: str) -> None:
        """Remove an object, if it exists."""
        try:
            with self._reaching():
                self._fs.rm_file(self._path(name))
        except FileNotFoundError:
            pass

    def find(self, folder: str = "") -> list[ObjectInfo]:
        """Every object below a folder, in a listing by the server: a request for each thousand."""
        root = self._path(folder)
        start = len(self._path(""))
        try:
            with self._reaching():
                found: Mapping[str, Mapping[str, Any]] = self._fs.find(root, detail=True)
        except FileNotFoundError:
            return []
        listed = ((path[start:].lstrip("/"), told) for path, told in found.items())
        return [ObjectInfo(name, int(told.get("size") or 0), _written(told)) for name, told in listed]

    @property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the path of the address on it."""
        return _opened(self.address, json.dumps(self.options, sort_keys=True, default=str))

    @property
    def _fs(self) -> Any:
        return self._place[0]

    def _path(self, name: str) -> str:
        return f"{self._place[1]}/{self.below}{name}".rstrip("/")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Let pass that an object is missing, or exists; raise Unreachable for all else that goes wrong."""
        try:
            yield
        except SlimlineError:
            raise
        except Exception as error:
            if isinstance(error, FileExistsError) or _is_missing(error):
                raise
            raise Unreachable(refusal(error, self.address)) from error


@cache
def _opened(address: str, options: str) -> tuple[Any, str]:
    """The file system of an address, and the path of the address on it; raises UserError where it can't be made."""
    from fsspec.core import url_to_fs

    scheme = address.partition("://")[0]
    try:
        fs, path = url_to_fs(address, **{"use_listings_cache": False, **json.loads(options)})
    except ImportError as error:
        extra = "pip install 'slimline[s3]'" if scheme in ("s3", "s3a") else str(error)
        raise UserError(f"store.path={address} needs a package that is not installed: {extra}") from error
    except (ValueError, TypeError) as error:
        raise UserError(
            f"store.path={address}: {error}: type a folder, s3://BUCKET/PREFIX, or another address that fsspec knows"
        ) from error
    return fs, str(path).rstrip("/")


def _is_missing(error: BaseException) -> bool:
    """Whether only the object is missing; s3fs says the same of a bucket, with the server's word behind it."""
    return isinstance(error, FileNotFoundError) and type(error.__cause__).__name__ != "NoSuchBucket"


def _written(told: Mapping[str, Any]) -> float:
    """When an object was written; now, where the server does not tell: it is then never judged to be old."""
    found = next((told[name] for name in _TIMES if told.get(name) is not None), None)
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    if isinstance(found, datetime):
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return float(found) if isinstance(found, int | float) else time.time()
