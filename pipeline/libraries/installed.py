"""Tells what this Python can import, and in which version."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib import metadata
from typing import Any

from pipeline.errors import UserError, first_line


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


def function_at(path: str, key: str) -> Callable[..., Any]:
    """The function of the user's at a dotted path, the value of the setting ``key``; raises UserError where there is
    none."""
    try:
        found: Any = locate(path)
    except Exception as error:  # the user's own module raises what it likes
        raise UserError(
            f"{key}={path} can't be imported: {first_line(error)}: type package.module.name of a function on the "
            "Python path, and install what it imports"
        ) from error
    if not callable(found):
        raise UserError(f"{key}={path} is a {type(found).__name__}, not a function")
    call: Callable[..., Any] = found
    return call


def version(distribution: str) -> str | None:
    """A distribution's version; None where it isn't installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
