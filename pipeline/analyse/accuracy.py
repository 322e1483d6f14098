"""Accuracy of every variant on every target, against the baseline on the same target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import AGREEMENT, judged
from pipeline.plan import BASELINE, Constraints, MeasureSettings
from pipeline.record import AccuracySamples
from pipeline.results import Accuracy
from pipeline.statistics.accuracy import (
    accuracy_verdict,
    mean_interval,
    n_to_decide,
    paired_difference,
    similarity_verdict,
    wilson,
)
from pipeline.statistics.latency import holm

_DEFAULT_MARGIN = 0.01
"""Share of the baseline's accuracy that may be lost where ``constraints.max_accuracy_drop`` says nothing."""


def accuracies(samples: AccuracySamples, constraints: Constraints, measure: MeasureSettings) -> dict[str, Accuracy]:
    """What is known of each ``variant@target`` that has predictions; p is corrected over all of them (Holm).

    A row is held against the baseline on its own target, or on the target that ``measure.reference`` names: then the
    baseline elsewhere is judged too, as a runtime's precision costs accuracy as well. Without labels the baseline's
    classes stand in for them and ``agreement`` is judged, for vectors their cosine; both from the baseline's own 100 %
    down, so the baseline then has no entry. A target without a baseline has accuracies but no differences, and nothing
    at all without labels.
    """
    found: dict[str, Accuracy] = {}
    for key, predictions in samples.predictions.items():
        target = key.partition("@")[2]
        against = f"{BASELINE}@{measure.reference_for(target)[1]}"
        baseline = samples.predictions.get(against)
        if predictions.ndim > 1:
            if baseline is not None and key != against:
                found[key] = _similarity(samples.metric, judged(predictions, baseline), constraints)
        elif samples.labels is not None:
            right = predictions == samples.labels
            reference = None if baseline is None or key == against else baseline == samples.labels
            found[key] = _judge(samples.metric, right, reference, constraints)
        elif baseline is not None and key != against:
            everything = np.ones(len(baseline), np.bool_)
            found[key] = _judge(AGREEMENT, predictions == baseline, everything, constraints)
    return _corrected(found)


def _similarity(metric: str, found: NDArray[np.float64], constraints: Constraints) -> Accuracy:
    """Of cosines [N]: their mean, and what is missing to 1."""
    mean = mean_interval(found)
    margin = _margin(constraints, 1.0)
    return Accuracy(
        metric=metric,
        value=mean.value,
        low=mean.low,
        high=mean.high,
        n=mean.n,
        delta=mean.value - 1,
        delta_low=mean.low - 1,
        delta_high=mean.high - 1,
        flips=None,
        p=None,
        margin=margin,
        verdict=similarity_verdict(mean, margin),
    )


def _judge(
    metric: str, right: NDArray[np.bool_], reference: NDArray[np.bool_] | None, constraints: Constraints
) -> Accuracy:
    share = wilson(int(right.sum()), len(right))
    if reference is None:
        return Accuracy(
            metric=metric, value=share.value, low=share.low, high=share.high, n=share.n, delta=None, delta_low=None,
            delta_high=None, flips=None, p=None, margin=None, verdict=None,
        )  # fmt: skip
    change = paired_difference(int((right & ~reference).sum()), int((reference & ~right).sum()), share.n)
    margin = _margin(constraints, float(reference.mean()))
    verdict = accuracy_verdict(change.low, change.high, margin)
    return Accuracy(
        metric=metric,
        value=share.value,
        low=share.low,
        high=share.high,
        n=share.n,
        delta=change.value,
        delta_low=change.low,
        delta_high=change.high,
        flips=change.flips,
        p=change.p,
        margin=margin,
        verdict=verdict,
        n_to_decide=n_to_decide(change, margin) if verdict == "UNDECIDED" else None,
    )


def _margin(constraints: Constraints, baseline: float) -> float:
    """What may be lost, of a baseline this right."""
    return _DEFAULT_MARGIN * baseline if constraints.max_accuracy_drop is None else constraints.max_accuracy_drop


def _corrected(found: Mapping[str, Accuracy]) -> dict[str, Accuracy]:
    compared = {key: entry.p for key, entry in found.items() if entry.p is not None}
    corrected = dict(zip(compared, holm(list(compared.values())), strict=True))
    return {key: replace(entry, p=corrected.get(key)) for key, entry in found.items()}
