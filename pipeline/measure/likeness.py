"""Measures how alike the outputs of a run's models are: to the baseline's, and of one variant on several runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.measure.accuracy import Predicted
from pipeline.measure.outputs import likeness
from pipeline.plan import BASELINE, MeasureSettings
from pipeline.results import numbers as show

RANDOM = 1e-3
"""Outputs of a second run that differ by more than this share of the largest value are random."""


def likenesses(kept: Mapping[str, Path], measure: MeasureSettings) -> dict[str, dict[str, Any]]:
    """The likenesses by ``variant@target``, from the folders of kept outputs: ``against`` (the baseline that it is
    compared with), ``examples``, ``relative`` and ``cosine`` (``outputs.Likeness``). ``elsewhere`` has the same against
    the variant on the first target that ran it, where that is another target."""
    found: dict[str, dict[str, Any]] = {}
    first: dict[str, str] = {}
    for name, folder in kept.items():
        variant, _, target = name.partition("@")
        against = f"{BASELINE}@{measure.reference_for(target)[1]}"
        entry = _compared(kept, against, folder) if against != name else {}
        if variant in first and (other := _compared(kept, first[variant], folder)):
            entry["elsewhere"] = other
        first.setdefault(variant, name)
        if entry:
            found[name] = entry
    return found


def remarks_on(predicted: Predicted, examples: int) -> list[str]:
    """The remarks that a reader needs on a row's accuracy."""
    remarks = [] if predicted.reason is None else [predicted.reason]
    if predicted.repeat > RANDOM:
        remarks.append(
            f"its outputs are random: run twice on the same examples, they differ by "
            f"{show.of_largest(predicted.repeat)} of their largest value, so its accuracy is that of one draw"
        )
    if predicted.not_numbers:
        remarks.append(
            f"its output is not a number (NaN or infinite) for {show.count(predicted.not_numbers)} of "
            f"{show.count(examples)} test examples"
        )
    return remarks


def _compared(kept: Mapping[str, Path], against: str, folder: Path) -> dict[str, Any]:
    found = likeness(kept[against], folder) if against in kept else None
    if found is None:
        return {}
    relative = found.relative if found.relative < float("inf") else None
    return {"against": against, **asdict(found), "relative": relative}
