"""The place of a store as it is typed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.errors import UserError
from pipeline.folders.network_disk import is_network_disk

LEASES = ".leases"
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_LOCAL = ("file", "local")
_READ_ONLY = ("http", "https")
_SECRET = re.compile(
    r"key(?!_?(prefix|name|file|path))|secret|token|passw|credential|connection_string|sas|signature", re.I
)
"""The names of options that hold a secret, in the file systems that fsspec knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePlace:
    """Where a store lies."""

    folder: Path
    """The store; of a store at an address, this machine's cache of it."""
    address: str | None = None
    """An address that fsspec knows; None: the store is the folder."""
    is_shared: bool = False
    """Whether several machines write to it, so that leases say who builds what."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What fsspec's file system is told beside the address, such as ``endpoint_url``."""

    def __str__(self) -> str:
        return self.address or str(self.folder)

    def for_nodes(self) -> StorePlace:
        """The place as the nodes of a cluster reach it, which build side by side."""
        folder = self.folder if self.address else self.folder.absolute()
        return replace(self, folder=folder, is_shared=True)


def store_place(
    path: str, *, cache: str | None = None, shared: bool | None = None, options: Mapping[str, Any] | None = None
) -> StorePlace:
    """The place that a path or an address names.

    ``shared``: whether several machines write to it; None: an address is shared, and a folder on a disk of the network,
    or one that another machine has shared already. Raises UserError for a secret in the address or in the options.
    """
    scheme = _ADDRESS.match(path)
    problems = [*_secrets_in(path), *_secrets_among(options or {}, "store.options")]
    if problems:
        raise UserError(*problems)
    if scheme is None or scheme[1].lower() in _LOCAL:
        return _folder(Path(path if scheme is None else unquote(urlsplit(path).path)), shared, cache, options or {})
    if scheme[1].lower() in _READ_ONLY:
        raise UserError(f"store.path={path}: a web server can't be written to: type s3://BUCKET/PREFIX, or a folder")
    told = dict(options or {})
    folder = Path(cache).expanduser() if cache else _cache_of(path, told)
    return StorePlace(folder=folder, address=path.rstrip("/"), is_shared=shared is not False, options=told)


def _folder(folder: Path, shared: bool | None, cache: str | None, options: Mapping[str, Any]) -> StorePlace:
    unread = [name for name, given in (("store.cache", cache), ("store.options", options)) if given]
    if unread:
        raise UserError(
            f"{' and '.join(unread)}: only a store at an address has it, and store.path={folder} is a folder: leave it "
            "out, or type store.path=s3://BUCKET/PREFIX"
        )
    is_shared = shared if shared is not None else is_network_disk(folder) or (folder / LEASES).is_dir()
    return StorePlace(folder=folder, is_shared=is_shared)


def _secrets_in(address: str) -> Iterator[str]:
    place = _ADDRESS.sub("", address, count=1) if _ADDRESS.match(address) else ""
    if "@" in place.partition("/")[0] or "?" in place:
        scheme = address.partition("://")[0]
        yield (
            f"store.path={scheme}://… holds a user or a password, which a run would write into its folder: leave it "
            f"out, and set it in the environment ({_variables(scheme)})"
        )


def _secrets_among(options: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _secrets_among(value, f"{where}.{name}")
        elif _SECRET.search(str(name)) and isinstance(value, str):
            yield (
                f"{where}.{name} is a secret, which a run would write into its folder: leave it out, and set it in the "
                f"environment ({_variables('s3')}, or what the file system reads)"
            )
        elif isinstance(value, str) and _ADDRESS.match(value) and list(_secrets_in(value)):
            yield f"{where}.{name} holds a user or a password, which a run would write into its folder: leave it out"


def _variables(scheme: str) -> str:
    known = {
        "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "gs": "GOOGLE_APPLICATION_CREDENTIALS",
        "abfs": "AZURE_STORAGE_ACCOUNT_KEY",
        "az": "AZURE_STORAGE_ACCOUNT_KEY",
    }
    return known.get(scheme, f"FSSPEC_{scheme.upper()}_USERNAME and FSSPEC_{scheme.upper()}_PASSWORD")


def _cache_of(address: str, options: Mapping[str, Any]) -> Path:
    """A folder below the user's cache, which all working folders share. Another server gets another folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    server = json.dumps([address.rstrip("/"), options, os.environ.get("AWS_ENDPOINT_URL")], sort_keys=True, default=str)
    name = re.sub(r"[^\w.-]+", "-", address.partition("://")[2]).strip("-")[:40]
    return Path(base, "slimline", f"{name}-{hashlib.sha256(server.encode()).hexdigest()[:8]}")
