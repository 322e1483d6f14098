"""Which examples a variant answers differently than the baseline, and what that does to each class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import labelled
from pipeline.metrics import in_classes
from pipeline.plan import BASELINE, MeasureSettings
from pipeline.results.flips import MOST, ClassFlips, Confusion, Flip, Flips
from pipeline.results.record import AccuracySamples

Name = Callable[[Any], str]
"""The name of a class, by its number."""


def flips(samples: AccuracySamples, class_names: Sequence[str], measure: MeasureSettings) -> list[Flips]:
    """The flipped examples of each ``variant@target`` whose predictions are one class an example, where the examples
    have labels; rows without any are left out."""
    labels = samples.labels
    if labels is None or labels.ndim != 1 or not in_classes(labels):
        return []

    def name(number: Any) -> str:
        return class_names[number] if 0 <= number < len(class_names) else str(number)

    found = []
    for key, after in samples.predictions.items():
        variant, _, target = key.partition("@")
        own = f"{BASELINE}@{measure.reference_for(target)[1]}"
        before = samples.predictions.get(own)
        if variant != BASELINE and before is not None and _comparable(labels, before, after):
            sure = samples.sureness.get(own), samples.sureness.get(key)
            found.append(_flips(variant, target, labels, before, after, sure, name))
    return [each for each in found if each.examples]


def _comparable(labels: NDArray[Any], *predictions: NDArray[Any]) -> bool:
    return all(in_classes(each) and each.shape == labels.shape for each in predictions)


def _flips(
    variant: str,
    target: str,
    labels: NDArray[Any],
    before: NDArray[Any],
    after: NDArray[Any],
    sure: tuple[NDArray[Any] | None, NDArray[Any] | None],
    name: Name,
) -> Flips:
    places = np.flatnonzero((before != after) & labelled(labels))
    was, now = (before == labels)[places], (after == labels)[places]
    lost, gained, other = places[was], places[now], places[~was & ~now]
    ordered = [int(place) for place in (*lost, *gained, *other)]
    changes = Counter((int(labels[place]), int(before[place]), int(after[place])) for place in ordered)
    return Flips(
        variant=variant,
        target=target,
        gained=len(gained),
        lost=len(lost),
        wrong_in_both=len(other),
        classes=_classes(labels[gained], labels[lost], name),
        confusions=[
            Confusion(label=name(label), before=name(old), after=name(new), count=count)
            for (label, old, new), count in changes.most_common(MOST)
        ],
        examples=[
            Flip(
                example=place,
                label=name(labels[place]),
                before=name(before[place]),
                after=name(after[place]),
                before_sure=_sure(sure[0], place),
                after_sure=_sure(sure[1], place),
            )
            for place in ordered[:MOST]
        ],
    )


def _sure(sureness: NDArray[Any] | None, place: int) -> float | None:
    """The probability of an example's answer, as far as it is one."""
    value = math.nan if sureness is None else float(sureness[place])
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else None


def _classes(gained: NDArray[Any], lost: NDArray[Any], name: Name) -> list[ClassFlips]:
    won, gone = Counter(gained.tolist()), Counter(lost.tolist())
    numbers = sorted({*won, *gone}, key=lambda number: (won[number] - gone[number], number))
    return [ClassFlips(label=name(number), gained=won[number], lost=gone[number]) for number in numbers]
