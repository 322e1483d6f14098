"""Judges how far a search's candidate drifts from the baseline, on examples that are not of the test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from threading import Event

import numpy as np
from numpy.typing import NDArray

from pipeline.analyse.accuracy import accuracies
from pipeline.analyse.recommend.eligible import accuracy_obstacles
from pipeline.artifact import Artifact
from pipeline.data.batches import Arrays, WithAxes, axes_of
from pipeline.data.dataset import Split, SplitName, labelled, prepared
from pipeline.data.rows import chosen
from pipeline.errors import SlimlineError
from pipeline.measure.accuracy import predict
from pipeline.measure.outputs import OutputAxes
from pipeline.metrics import class_path, fields_of
from pipeline.plan import Plan, Target
from pipeline.results.figures import Accuracy
from pipeline.results.record import AccuracySamples
from pipeline.run.building import limits_for
from pipeline.run.side_by_side import on_cores, workers

DECIDING: tuple[SplitName, ...] = ("validation", "calibration")
"""The splits whose examples decide, in the order in which they are taken."""
_LONGEST_SHARE = 0.015
"""The share of the search's budget that judging one candidate may take."""
_FEWEST = 32
_MS_PER_S = 1e3


@dataclass(slots=True, kw_only=True)
class DriftJudge:
    """Judges candidates beside the baseline on the same examples; it runs the baseline once, with the first of them."""

    plan: Plan
    examples: Split
    """Raw examples that the test split does not have."""
    output_axes: OutputAxes | None
    inputs: Arrays = field(init=False)
    """The examples as the model reads them; large ones stay in files."""
    _baseline: NDArray[np.generic] | None = None
    """The reference's predictions; all candidates are judged on as many examples."""

    def __post_init__(self) -> None:
        self.inputs = prepared(self.examples.inputs, self.plan.model.preprocessing)

    def count(self, call_ms: float) -> int:
        """How many examples are judged on, for a model whose calls take ``call_ms``."""
        affordable = int(_LONGEST_SHARE * self.plan.searched.budget_s * _MS_PER_S / call_ms)
        return min(len(self.examples), max(affordable, _FEWEST))

    def __call__(
        self, key: str, artifact: Artifact, target: Target, reference: tuple[Artifact, Target], call_ms: float
    ) -> tuple[Accuracy | None, str]:
        """The accuracy of a candidate beside the reference's, and why it does not keep the limit, or an empty text.
        The accuracy is None where the outputs can't be judged. ``call_ms`` is the reference's call.

        Raises what ``predict`` raises.
        """
        if self._baseline is None:
            baseline, predicted = self._first(reference, (artifact, target), self.count(call_ms))
        else:
            baseline, predicted = self._baseline, self._predicted(artifact, target, len(self._baseline))
        count = len(baseline)
        name, on = self.plan.measure.reference_for(target.name)
        labels = self.examples.labels
        samples = AccuracySamples(
            labels=None if labels is None else labels[:count],
            predictions={f"{name}@{on}": baseline, key: predicted},
            metric=self.plan.metric.name,
            metric_class=class_path(self.plan.metric),
            metric_fields=fields_of(self.plan.metric),
        )
        accuracy = accuracies(samples, self.plan.constraints, self.plan.measure).get(key)
        return accuracy, "; ".join(accuracy_obstacles(accuracy))

    def _first(
        self, reference: tuple[Artifact, Target], candidate: tuple[Artifact, Target], count: int
    ) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        """The predictions of the reference, which are kept, and of the first candidate: side by side, where both run on
        the processor and it has the cores."""
        stop, targets = Event(), [reference[1], candidate[1]]
        size = on_cores(targets) if all(target.device == "cpu" for target in targets) else 1
        with workers(size, stop) as pool:
            own = pool.submit(self._predicted, *reference, count, stop)
            other = pool.submit(self._predicted, *candidate, count, stop)
            self._baseline = own.result()
            return self._baseline, other.result()

    def _predicted(
        self, artifact: Artifact, target: Target, count: int, stop: Event | None = None
    ) -> NDArray[np.generic]:
        first = {name: chosen(array, slice(count)) for name, array in self.inputs.items()}
        predicted = predict(
            artifact,
            target,
            self.plan.metric,
            WithAxes(first, axes_of(self.inputs)),
            max(self.plan.batch_sizes),
            output_axes=self.output_axes,
            limits=limits_for(self.plan),
            stop=stop,
        )
        if predicted.predictions is None:
            raise SlimlineError(predicted.reason or "its outputs can't be judged")
        return predicted.predictions


def deciding_examples(plan: Plan, splits: Mapping[SplitName, Split]) -> Split | None:
    """The examples that a search decides on, those of the validation split first; None where the data has none."""
    most = plan.searched.examples
    parts = [
        _judged(split).take(0, most) for name in DECIDING if (split := splits.get(name)) is not None and len(split)
    ]
    return reduce(Split.followed_by, parts).take(0, most) if parts else None


def _judged(split: Split) -> Split:
    """The examples that have a label, where some have none: of a sequence that may be the last call only."""
    if split.labels is None or split.labels.ndim > 1:
        return split
    places = np.flatnonzero(labelled(split.labels))
    return split.chosen(places.tolist()) if 0 < len(places) < len(split) else split
