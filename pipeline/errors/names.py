"""Says that a name does not exist, with the name that may be meant and all that exist."""

from __future__ import annotations

import difflib
from collections.abc import Collection

_LIKE = 0.7
"""How much of two names must be the same (``difflib``'s ratio)."""


def unknown(typed: str, name: str, existing: Collection[str], which: str = "available") -> str:
    """The sentence that what was typed does not exist. ``name`` is the part of it that is compared with what exists."""
    return f"{typed} does not exist; {meant(name, existing)}{which}: {', '.join(existing) or 'nothing'}"


def meant(name: str, existing: Collection[str]) -> str:
    """The question whether the nearest name is meant; empty where none is near."""
    found = near(name, existing, 1)
    return f"did you mean '{found[0]}'? " if found else ""


def near(name: str, existing: Collection[str], most: int) -> list[str]:
    """The names that are most like this one, the nearest first, whatever their case."""
    by_lower = {other.lower(): other for other in existing}
    return [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower, most, _LIKE)]
