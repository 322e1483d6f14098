"""One check's outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, whether it passed, and what was found."""

    name: str
    passed: bool
    detail: str


def from_problems(name: str, problems: Sequence[str], otherwise: str) -> Check:
    """A check that passed if there are no problems; ``otherwise`` is what is then said."""
    return Check(name, not problems, "; ".join(problems) or otherwise)
