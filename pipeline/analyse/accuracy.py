"""Accuracy of every variant on every target, against the baseline on the same target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.plan import BASELINE, Constraints
from pipeline.record import AccuracySamples
from pipeline.results import Accuracy
from pipeline.statistics.accuracy import accuracy_verdict, n_to_decide, paired_difference, wilson
from pipeline.statistics.latency import holm

AGREEMENT = "agreement"
_DEFAULT_MARGIN = 0.01
"""Share of the baseline's accuracy that may be lost where ``constraints.max_accuracy_drop`` says nothing."""


def accuracies(samples: AccuracySamples, constraints: Constraints) -> dict[str, Accuracy]:
    """What is known of each ``variant@target`` that has predictions; p is corrected over all of them (Holm).

    Without labels the baseline's predictions stand in for them and ``agreement`` is judged, from the baseline's own
    100 % down; the baseline then has no entry. A target without a baseline has accuracies but no differences, and
    nothing at all without labels.
    """
    found: dict[str, Accuracy] = {}
    for key, predictions in samples.predictions.items():
        variant, _, target = key.partition("@")
        baseline = samples.predictions.get(f"{BASELINE}@{target}")
        if samples.labels is not None:
            right = predictions == samples.labels
            reference = None if baseline is None else baseline == samples.labels
            found[key] = _judge(samples.metric, right, None if variant == BASELINE else reference, constraints)
        elif baseline is not None and variant != BASELINE:
            everything = np.ones(len(baseline), np.bool_)
            found[key] = _judge(AGREEMENT, predictions == baseline, everything, constraints)
    return _corrected(found)


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
    margin = constraints.max_accuracy_drop
    if margin is None:
        margin = _DEFAULT_MARGIN * float(reference.mean())
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


def _corrected(found: Mapping[str, Accuracy]) -> dict[str, Accuracy]:
    compared = {key: entry.p for key, entry in found.items() if entry.p is not None}
    corrected = dict(zip(compared, holm(list(compared.values())), strict=True))
    return {key: replace(entry, p=corrected.get(key)) for key, entry in found.items()}
