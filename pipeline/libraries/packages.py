"""Finds the folders of installed packages that configurations name as ``${package:NAME}``."""

from __future__ import annotations

import re
from importlib.resources import files

from pipeline.errors import UserError

_REFERENCE = re.compile(r"\$\{package:([\w.]+)\}")


def package_folder(name: str) -> str:
    """The folder of a package, by its dotted name; raises UserError where it is not installed."""
    try:
        return str(files(name))
    except ModuleNotFoundError as error:
        raise UserError(
            f"this needs the package {name.partition('.')[0]}, which is not installed: pip install 'slimline[examples]'"
        ) from error


def in_package(path: str) -> str:
    """A path with the folder in the place of its ``${package:NAME}``; raises UserError where that is not installed."""
    return _REFERENCE.sub(lambda found: package_folder(found[1]), path)
