"""The outcome of one check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, whether it passed, and what it found."""

    name: str
    passed: bool
    detail: str
    done: bool = True
    """False: nothing was checked, and the detail says so."""


def from_problems(name: str, problems: Sequence[str], otherwise: str) -> Check:
    """A check that passed if there are no problems; it says ``otherwise`` then."""
    more = [f"and {len(problems) - _SHOWN_PROBLEMS} more"] if len(problems) > _SHOWN_PROBLEMS else []
    return Check(name, not problems, "; ".join([*problems[:_SHOWN_PROBLEMS], *more]) or otherwise)
