"""Tells what this Python can import, and in which version."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any


def locate(path: str) -> Any:
    """The class or function at a dotted path such as ``my_package.MyNet``.

    Raises ValueError where the path has no dot, ImportError where a module on the way can't be imported (also one that
    it imports itself), AttributeError where the module has no such name.
    """
    parts = path.split(".")
    if len(parts) < 2:
        raise ValueError(f"{path!r} is no dotted path such as my_package.MyNet")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                continue
            raise
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(f"there is no module {parts[0]!r}", name=parts[0])


def version(distribution: str) -> str | None:
    """A distribution's version; None where it isn't installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
