"""Matches names with the glob patterns in a stage's fields, such as ``exclude_nodes`` and ``ignored_layers``."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from pipeline.errors import Misnamed
from pipeline.errors.names import meant

SHOWN = 12


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of the patterns, or fits one (``*``, ``?``, ``[...]``)."""
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def check_matches(field: str, what: str, patterns: Iterable[str], names: Sequence[str]) -> None:
    """Raise Misnamed for the first pattern that fits none of the names."""
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in names):
            shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
            raise Misnamed(f"{field}: '{pattern}' matches no {what}; {meant(pattern, names)}there are {shown}")
