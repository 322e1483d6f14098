"""What a search says on the terminal while it runs, a line each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.results import numbers as show
from pipeline.results.intervals import Unit
from pipeline.results.search import Drift, ScreenedSpeed, SearchTrial
from pipeline.search.space import Candidate

_IN_THE_RACE = "in the race"


def planned(candidates: Sequence[Candidate], left_out: int, budget_s: float, proof_s: float) -> str:
    """The search before any work: how many candidates, and how long it takes; ``left_out`` counts what rules left out,
    ``proof_s`` is kept for the proof."""
    chains = len({candidate.chain for candidate in candidates})
    runtimes = len({candidate.target.name for candidate in candidates})
    ruled = f"; {left_out} left out by rules" if left_out else ""
    looking_s = max(budget_s - proof_s, 0.0)
    kinds = f"{show.counted(chains, 'chain')} on {show.counted(runtimes, 'runtime')}"
    return (
        f"{show.counted(len(candidates), 'candidate')} from {kinds}{ruled}; about {show.duration(budget_s)} "
        f"(search.budget_s={budget_s:g}): up to {show.duration(looking_s)} for building and looking, "
        f"{show.duration(proof_s)} for the proof"
    )


def line(trial: SearchTrial, unit: Unit = "percent", *, claimed: bool = True) -> str:
    """A trial as far as it is known: its speed-up as screened, its drift, and where it stands.

    ``unit`` is the metric's; ``claimed`` says whether anything may be said of accuracy.
    """
    figures = [speed(trial.speed)] if trial.speed is not None else []
    if trial.drift is not None and claimed:
        figures.append(drift(trial.drift, unit))
    told = f"{trial.variant} on {trial.target}"
    if figures:
        told += f": {', '.join(figures)}"
    return f"{told}; {_standing(trial)}"


def best(trial: SearchTrial, seconds: float, unit: Unit = "percent", *, claimed: bool = True) -> str:
    """The best candidate so far, ``seconds`` after the run began. Nothing of it is proven."""
    told = f"best so far (SCREENED, {show.duration(seconds)}): {trial.variant} on {trial.target}"
    figures = [speed(trial.speed)] if trial.speed is not None else []
    figures += [drift(trial.drift, unit)] if trial.drift is not None and claimed else []
    return ", ".join([told, *figures])


def speed(found: ScreenedSpeed) -> str:
    """A speed-up that chooses and proves nothing: ``2.31x (2.20 to 2.40, screened)``."""
    high = show.short(found.high) if math.isfinite(found.high) else show.INFINITE
    return f"{show.short(found.value)}x ({show.short(found.low)} to {high}, screened)"


def drift(found: Drift, unit: Unit) -> str:
    """A drift on the validation split: ``drift −0.40 pt``."""
    return f"drift {show.change(found.delta, unit)}"


def _standing(trial: SearchTrial) -> str:
    if trial.ending in ("kept", "finalist") and trial.reason is None:
        return _IN_THE_RACE if trial.ending == "kept" else "a finalist"
    return f"{trial.ending}: {trial.reason}" if trial.reason else trial.ending
