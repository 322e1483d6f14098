"""The colourings of the map: steps of a scale, as classes that the page's style sheet gives colours.

No colour says anything alone: the figures stand beside it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from pipeline.report.map.words import NO_STAGE

STEPS = 4
"""The steps of a scale beside the lowest, which is nothing or next to nothing."""
BOUNDS_DB = (20.0, 30.0, 35.0, 40.0)
"""The bounds between the steps of an error: rounding to 8 bits makes 30 to 45 dB in one place."""
STAGES = 6
"""So many stages get a colour each; further ones share the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colouring:
    """One way to colour the map."""

    key: str
    """Its letter: the classes of its steps begin with it."""
    name: str
    legend: Sequence[tuple[str, str]]
    """Each step's class, and its meaning."""


def colourings(stages: Sequence[str]) -> list[Colouring]:
    """All colourings; ``stages`` are those that have a colour."""
    least, *bounds, most = (f"{bound:g}" for bound in BOUNDS_DB)
    errors = [f"under {least} dB", *(f"under {bound} dB" for bound in bounds), f"under {most} dB", f"{most} dB or more"]
    told = [(f"{STEPS - step}", text) for step, text in enumerate(errors)]
    shares = [(str(step), f"up to {100 * step // STEPS} % of the longest") for step in range(1, STEPS + 1)]
    saved = [("l2", "lost much"), ("l1", "lost"), ("0", "about the same"), ("1", "saved"), ("2", "saved much")]
    shown = [(str(number), name) for number, name in enumerate(stages[:STAGES])]
    return [
        _colouring("t", "time", [("0", "next to none"), *shares]),
        _colouring("s", "time saved", saved),
        _colouring("e", "own error", told),
        _colouring("a", "error so far", told),
        _colouring("g", "stage", [*shown, ("n", NO_STAGE)]),
    ]


def _colouring(key: str, name: str, legend: Sequence[tuple[str, str]]) -> Colouring:
    return Colouring(key=key, name=name, legend=[(f"{key}{step}", text) for step, text in legend])


def time_class(ms: float | None, most_ms: float) -> str:
    """The step of a time, as a share of the longest; empty where none is known."""
    if ms is None or not most_ms:
        return ""
    share = ms / most_ms
    return f"t{0 if share < 0.02 else min(STEPS, max(1, ceil(STEPS * share)))}"


def saved_class(saved_ms: float | None, most_ms: float) -> str:
    """The step of a time that is saved or lost, as a share of the largest of them."""
    if saved_ms is None or not most_ms:
        return ""
    share = abs(saved_ms) / most_ms
    step = 0 if share < 0.05 else 1 if share < 0.5 else 2
    return f"s{'l' if saved_ms < 0 and step else ''}{step}"


def error_class(key: str, sqnr_db: float | None) -> str:
    """The step of an error, the largest step for the worst; empty where none is known."""
    return "" if sqnr_db is None else f"{key}{STEPS - bisect_right(BOUNDS_DB, sqnr_db)}"


def stage_class(stages: Sequence[str], known: Sequence[str]) -> str:
    """The colour of the last of the stages that wrote a place."""
    return f"g{min(known.index(stages[-1]), STAGES - 1)}" if stages else "gn"
