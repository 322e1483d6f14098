"""Accuracy of every variant on every target, against the baseline on the same target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import labelled
from pipeline.metrics import Judging, in_classes, judging_of, recorded_metric, scale_of
from pipeline.plan import BASELINE, Constraints, MeasureSettings, Metric
from pipeline.results import numbers as show
from pipeline.results.figures import Accuracy
from pipeline.results.record import AccuracySamples
from pipeline.statistics.accuracy import PairedDifference, n_to_decide
from pipeline.statistics.flips import change_from_flips, labels_to_decide
from pipeline.statistics.latency import holm

_DEFAULT_MARGIN = 0.01
"""Share of the baseline's accuracy that may be lost where ``constraints.max_accuracy_drop`` says nothing."""
_EQUAL = 1e-3
"""The largest difference of an exact stage from its source, as a share of the largest output
(``pipeline.plan.Stage.tolerance``)."""
_NOT_ENOUGH = ("UNDECIDED", "DROP", "FAILS MARGIN")
"""Verdicts on the agreement with the baseline that one on the accuracy may better."""
_ALIKE = 0.99
"""The least mean cosine between two runtimes' outputs that is not worth a remark."""


def accuracies(samples: AccuracySamples, constraints: Constraints, measure: MeasureSettings) -> dict[str, Accuracy]:
    """What is known of each ``variant@target`` that has predictions; p is corrected over all of them (Holm).

    A row is held against the baseline on its own target, or on the target that ``measure.reference`` names: then the
    baseline on other targets is judged, too, because a runtime's precision can cost accuracy. Where the metric uses no
    labels, the baseline's predictions stand in for them. The baseline then has the best figure by definition, and no
    entry. A target without a baseline has accuracies but no differences, and nothing at all without labels. Raises
    SlimlineError where the metric that was recorded can't be made.
    """
    metric = recorded_metric(samples)
    found: dict[str, Accuracy] = {}
    for key, predictions in samples.predictions.items():
        target = key.partition("@")[2]
        against = f"{BASELINE}@{measure.reference_for(target)[1]}"
        baseline = None if key == against else samples.predictions.get(against)
        entry = _one(predictions, baseline, samples, metric, constraints)
        if entry is not None:
            found[key] = _equal(entry, predictions, baseline, samples.likeness.get(key, {}))
    return _corrected(found)


def margins(found: Mapping[str, Accuracy]) -> dict[str, float]:
    """The largest drop that is allowed, by target: a fraction of all examples, or of the cosine 1."""
    return {key.partition("@")[2]: entry.margin for key, entry in found.items() if entry.margin is not None}


def runtime_remarks(samples: AccuracySamples) -> dict[str, str]:
    """What to say of each ``variant@target`` whose outputs differ from the same variant's outputs on another
    runtime."""
    found = {}
    for key, entry in samples.likeness.items():
        other = entry.get("elsewhere")
        if other and (other["relative"] is None or (other["cosine"] is not None and other["cosine"] < _ALIKE)):
            place = other["against"].partition("@")[2]
            cosine = (
                "their shapes or what is not a number differ"
                if other["cosine"] is None
                else (f"the mean cosine of the two is {show.number(other['cosine'], 4)}")
            )
            found[key] = f"its outputs depend on the runtime: they are others than on {place} ({cosine})"
    return found


def _one(
    predictions: NDArray[Any],
    baseline: NDArray[Any] | None,
    samples: AccuracySamples,
    metric: Metric | None,
    constraints: Constraints,
) -> Accuracy | None:
    judging = judging_of(metric, predictions)
    labels = judging.labels(predictions, samples.labels)
    truth = baseline if labels is None else labels
    estimate = None if truth is None else judging.estimate(predictions, truth)
    if truth is None or estimate is None:
        return None
    words = judging.beside_baseline if labels is None else None
    alone = Accuracy(
        metric=samples.metric if words is None else words.name,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        delta=None,
        delta_low=None,
        delta_high=None,
        flips=None,
        p=None,
        margin=None,
        verdict=None,
        unit=judging.unit,
        against="baseline" if labels is None else "labels",
        sentence=None if words is None else words.sentence,
    )
    if baseline is None:
        return alone
    if labels is None:
        margin = _margin(constraints, judging, 1.0)
        by_flips = _by_flips(alone, predictions, baseline, samples, judging, margin)
        if by_flips is not None:
            return by_flips
        entry = _compared(alone, judging.shortfall(predictions, truth, estimate), judging, margin)
        if entry.verdict not in _NOT_ENOUGH or entry.flips is None or not _tells_a_class(predictions):
            return entry
        return replace(entry, labels_to_decide=labels_to_decide(entry.flips, entry.n, margin))
    reference = judging.value(baseline, truth)
    return _compared(
        alone, judging.change(predictions, baseline, truth), judging, _margin(constraints, judging, reference)
    )


def _by_flips(
    alone: Accuracy,
    predictions: NDArray[Any],
    baseline: NDArray[Any],
    samples: AccuracySamples,
    judging: Judging,
    margin: float,
) -> Accuracy | None:
    """The change of accuracy by labels of what is answered differently; None without such labels."""
    if samples.flip_labels is None or not _tells_a_class(predictions):
        return None
    found = change_from_flips(predictions, baseline, samples.flip_labels, labelled(samples.flip_labels))
    if found is None:
        return None
    sentence = (
        "the baseline's answer on {} of the examples; the change is that of the accuracy, by "
        f"{show.count(found.labelled)} labels of the {show.count(found.flips)} examples that are answered differently"
    )
    entry = _compared(replace(alone, sentence=sentence, labelled_flips=found.labelled), found.change, judging, margin)
    return entry if found.labelled == found.flips else replace(entry, n_to_decide=None)  # labels decide, not examples


def _tells_a_class(predictions: NDArray[Any]) -> bool:
    return in_classes(predictions) and predictions.ndim == 1


def _compared(alone: Accuracy, change: PairedDifference, judging: Judging, margin: float) -> Accuracy:
    verdict = judging.verdict(change, margin)
    decidable = verdict == "UNDECIDED" and change.p is not None
    return replace(
        alone,
        delta=change.value,
        delta_low=change.low,
        delta_high=change.high,
        flips=change.flips,
        p=change.p,
        margin=margin,
        verdict=verdict,
        n_to_decide=n_to_decide(change, margin) if decidable else None,
    )


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


def _margin(constraints: Constraints, judging: Judging, baseline: float) -> float:
    """What may be lost, of a baseline with this figure."""
    if constraints.max_accuracy_drop is None:
        return _DEFAULT_MARGIN * abs(baseline)
    return constraints.max_accuracy_drop * scale_of(judging, baseline)


def _corrected(found: Mapping[str, Accuracy]) -> dict[str, Accuracy]:
    compared = {key: entry.p for key, entry in found.items() if entry.p is not None}
    corrected = dict(zip(compared, holm(list(compared.values())), strict=True))
    return {key: replace(entry, p=corrected.get(key)) for key, entry in found.items()}
