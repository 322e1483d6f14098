"""Finds the configurations that installed distributions bring.

Their entry points of the group ``slimline.conf`` name packages with YAML files, in the folders that ``conf/`` has.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable

from pipeline.errors import UserError

GROUP = "slimline.conf"


def plugin_packages() -> Sequence[str]:
    """The names of the packages, sorted; raises UserError for one that can't be imported."""
    return _packages(tuple(sys.path))


def configuration_folders() -> list[Traversable]:
    """The folders with configurations: the one that ships, and those of the plug-ins; raises what they raise."""
    return [files(package) for package in ("pipeline.conf", *plugin_packages())]


@cache
def _packages(path: tuple[str, ...]) -> Sequence[str]:
    """``path`` is ``sys.path``, where distributions are looked for."""
    found = entry_points(group=GROUP)
    return tuple(sorted({_importable(entry) for entry in found}))


def _importable(entry: EntryPoint) -> str:
    try:
        files(entry.value)
    except (ImportError, TypeError, ValueError) as error:
        name = entry.dist.name if entry.dist else entry.name
        raise UserError(
            f"the plug-in {name} names the package {entry.value} with its configurations, which can't be imported "
            f"({error}): mend it, or type pip uninstall {name}"
        ) from error
    return entry.value
