"""How the rows' accuracy changed: example by example where both runs judged the same examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.compare.runs import Run
from pipeline.metrics import Judging, judging_of, recorded_metric, scale_of
from pipeline.plan import BASELINE
from pipeline.results.comparison import AccuracyChange
from pipeline.results.intervals import gain_sign
from pipeline.results.record import AccuracySamples
from pipeline.statistics.accuracy import PairedDifference, Proportion, n_to_decide
from pipeline.statistics.reproduced import difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracies:
    """The accuracies of one model in both runs, or the reason why they are not compared."""

    change: AccuracyChange | None = None
    reason: str | None = None


def accuracy_change(model: str, before: Run, after: Run, max_drop: float) -> Accuracies:
    """The change of a ``variant@target``; a drop of ``max_drop`` is allowed, as a fraction (of an error, a part of it).

    Where there are no labels, both runs are held against the earlier baseline's predictions. Raises SlimlineError where
    the metric that was recorded can't be made.
    """
    old, new = before.record.accuracy, after.record.accuracy
    if model not in old.predictions or model not in new.predictions:
        return Accuracies(reason="not both runs have its predictions")
    if not (before.record.claims_accuracy and after.record.claims_accuracy):
        return Accuracies(reason="the inputs are noise")
    if _asked(old) != _asked(new):
        return Accuracies(reason=f"the runs judge by different metrics: {old.metric} and {new.metric}")
    judging = judging_of(recorded_metric(new), new.predictions[model])
    paired = same_examples(old, new)
    if not paired and judging.labels(new.predictions[model], new.labels) is None:
        return Accuracies(reason="the examples are others, and have no labels")
    figures = _figures(model, old, new, judging)
    if figures is None:
        return Accuracies(reason="no example can be judged")
    was, now = figures
    change = _paired(model, old, new, judging) if paired else _unpaired(was, now, judging)
    margin = max_drop * scale_of(judging, was.value)
    verdict = "EQUAL" if paired and _alike(model, old, new) else judging.verdict(change, margin)
    return Accuracies(
        change=AccuracyChange(
            metric=new.metric,
            before=was.value,
            after=now.value,
            delta=change.value,
            low=change.low,
            high=change.high,
            n=change.n,
            flips=change.flips,
            p=change.p,
            margin=margin,
            verdict=verdict,
            paired=paired,
            n_to_decide=n_to_decide(change, margin) if verdict == "UNDECIDED" else None,
            unit=judging.unit,
        )
    )


def same_examples(old: AccuracySamples, new: AccuracySamples) -> bool:
    """Whether both runs judged the same examples: by their digest, or by their labels in a record without one."""
    if old.examples is not None and new.examples is not None:
        return old.examples == new.examples
    if old.labels is None or new.labels is None:
        return False
    return np.array_equal(old.labels, new.labels)


def _asked(samples: AccuracySamples) -> tuple[object, ...]:
    return samples.metric, samples.metric_class, dict(samples.metric_fields)


def _alike(model: str, old: AccuracySamples, new: AccuracySamples) -> bool:
    return np.array_equal(old.predictions[model], new.predictions[model])


def _truth(model: str, samples: AccuracySamples, reference: AccuracySamples, judging: Judging) -> object:
    """The labels of a run, or else the earlier baseline's predictions."""
    labels = judging.labels(samples.predictions[model], samples.labels)
    return reference.predictions.get(f"{BASELINE}@{model.partition('@')[2]}") if labels is None else labels


def _figures(
    model: str, old: AccuracySamples, new: AccuracySamples, judging: Judging
) -> tuple[Proportion, Proportion] | None:
    found = []
    for samples in (old, new):
        truth = _truth(model, samples, old, judging)
        estimate = None if truth is None else judging.estimate(samples.predictions[model], truth)  # type: ignore[arg-type]
        if estimate is None:
            return None
        found.append(estimate)
    return found[0], found[1]


def _paired(model: str, old: AccuracySamples, new: AccuracySamples, judging: Judging) -> PairedDifference:
    truth = _truth(model, new, old, judging)
    return judging.change(new.predictions[model], old.predictions[model], truth)  # type: ignore[arg-type]


def _unpaired(was: Proportion, now: Proportion, judging: Judging) -> PairedDifference:
    """The gain from one set of examples to another, by the intervals of both."""
    sign, found = gain_sign(judging.unit), difference(now, was)
    low, high = sorted((sign * found.low, sign * found.high))
    return PairedDifference(value=sign * found.value, low=low, high=high, flips=None, n=min(was.n, now.n), p=None)
