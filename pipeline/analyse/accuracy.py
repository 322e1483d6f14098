"""Accuracy of every variant on every target, against the baseline on the same target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics import AGREEMENT, in_classes, judged, label_truth
from pipeline.plan import BASELINE, Constraints, MeasureSettings
from pipeline.record import AccuracySamples
from pipeline.results import Accuracy
from pipeline.statistics.accuracy import (
    accuracy_verdict,
    change_of_shares,
    mean_interval,
    n_to_decide,
    share_interval,
    similarity_verdict,
)
from pipeline.statistics.latency import holm

_DEFAULT_MARGIN = 0.01
"""Share of the baseline's accuracy that may be lost where ``constraints.max_accuracy_drop`` says nothing."""

_EQUAL = 1e-3
"""Of the largest output: what an exact stage may differ from its source (``pipeline.plan.Stage.tolerance``) at most."""
_ALIKE = 0.99
"""The least mean cosine between two runtimes' outputs that is not worth a remark."""


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
        baseline = None if key == against else samples.predictions.get(against)
        entry = _one(predictions, baseline, samples, constraints)
        if entry is not None:
            found[key] = _equal(entry, predictions, baseline, samples.likeness.get(key, {}))
    return _corrected(found)


def margins(found: Mapping[str, Accuracy]) -> dict[str, float]:
    """What may be lost at most, by target: a fraction of all examples, or of the cosine 1."""
    return {key.partition("@")[2]: entry.margin for key, entry in found.items() if entry.margin is not None}


def runtime_remarks(samples: AccuracySamples) -> dict[str, str]:
    """What to say of each ``variant@target`` whose outputs are others than the variant's on another runtime."""
    found = {}
    for key, entry in samples.likeness.items():
        other = entry.get("elsewhere")
        if other and (other["relative"] is None or (other["cosine"] is not None and other["cosine"] < _ALIKE)):
            place = other["against"].partition("@")[2]
            cosine = (
                "their shapes or what is not a number differ"
                if other["cosine"] is None
                else (f"the mean cosine of the two is {other['cosine']:.3f}")
            )
            found[key] = f"its outputs depend on the runtime: they are others than on {place} ({cosine})"
    return found


def _one(
    predictions: NDArray[Any], baseline: NDArray[Any] | None, samples: AccuracySamples, constraints: Constraints
) -> Accuracy | None:
    if not in_classes(predictions):
        return None if baseline is None else _similarity(samples.metric, judged(predictions, baseline), constraints)
    labels = label_truth(predictions, samples.labels)
    if labels is not None:
        reference = None if baseline is None else judged(baseline, labels)
        return _judge(samples.metric, judged(predictions, labels), reference, constraints)
    if baseline is None:
        return None
    right = judged(predictions, baseline)
    return _judge(AGREEMENT, right, np.ones(len(right)), constraints)


def _equal(
    entry: Accuracy, predictions: NDArray[Any], baseline: NDArray[Any] | None, likeness: Mapping[str, Any]
) -> Accuracy:
    """EQUAL where the outputs are the baseline's, to the tolerance of an exact stage, and so is every prediction."""
    relative = likeness.get("relative")
    if baseline is None or entry.verdict is None or relative is None or relative > _EQUAL:
        return entry
    if in_classes(predictions) and not np.array_equal(predictions, baseline):
        return entry
    return replace(entry, verdict="EQUAL", n_to_decide=None)


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
    metric: str, right: NDArray[np.float64], reference: NDArray[np.float64] | None, constraints: Constraints
) -> Accuracy | None:
    """Of how right each example is [N], 0 to 1, the variant's and the baseline's."""
    if not len(right):
        return None
    share = share_interval(right)
    if reference is None:
        return Accuracy(
            metric=metric, value=share.value, low=share.low, high=share.high, n=share.n, delta=None, delta_low=None,
            delta_high=None, flips=None, p=None, margin=None, verdict=None,
        )  # fmt: skip
    change = change_of_shares(right, reference)
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
        n_to_decide=n_to_decide(change, margin) if verdict == "UNDECIDED" and change.p is not None else None,
    )


def _margin(constraints: Constraints, baseline: float) -> float:
    """What may be lost, of a baseline this right."""
    return _DEFAULT_MARGIN * baseline if constraints.max_accuracy_drop is None else constraints.max_accuracy_drop


def _corrected(found: Mapping[str, Accuracy]) -> dict[str, Accuracy]:
    compared = {key: entry.p for key, entry in found.items() if entry.p is not None}
    corrected = dict(zip(compared, holm(list(compared.values())), strict=True))
    return {key: replace(entry, p=corrected.get(key)) for key, entry in found.items()}
