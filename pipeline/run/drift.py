"""Judges how far a search's candidate drifts from the baseline, on examples that are not of the test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from threading import Event

import numpy as np

from pipeline.analyse.accuracy import accuracies
from pipeline.analyse.recommend.eligible import accuracy_obstacles
from pipeline.data.batches import Arrays, WithAxes, axes_of
from pipeline.data.dataset import Split, SplitName, labelled, prepared
from pipeline.data.rows import chosen
from pipeline.errors import SlimlineError, reasoned
from pipeline.measure.accuracy import Predicted, predict
from pipeline.measure.group import Subject
from pipeline.measure.outputs import OutputAxes
from pipeline.metrics import class_path, fields_of
from pipeline.plan import Plan
from pipeline.results.figures import Accuracy
from pipeline.results.record import AccuracySamples
from pipeline.run.building import limits_for
from pipeline.run.side_by_side import at_once, workers
from pipeline.search.space import candidate_key

DECIDING: tuple[SplitName, ...] = ("validation", "calibration")
"""The splits whose examples decide, in the order in which they are taken."""
_LONGEST_SHARE = 0.015
"""The share of the search's budget that judging one candidate may take."""
_FEWEST = 32
_MS_PER_S = 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How a candidate compares with the reference."""

    accuracy: Accuracy | None = None
    """None where the outputs can't be judged."""
    why: str = ""
    """Why it does not keep the limit, or can't be judged."""
    failure: SlimlineError | None = None
    """Why it, or the reference, could not be run."""


@dataclass(slots=True, kw_only=True)
class DriftJudge:
    """Judges candidates beside the reference on the same examples, several at a time; the reference runs once, with the
    first of them."""

    plan: Plan
    examples: Split
    """Raw examples that the test split does not have."""
    output_axes: OutputAxes | None
    inputs: Arrays = field(init=False)
    """The examples as the model reads them; large ones stay in files."""
    _reference: Predicted | None = None
    """The reference's predictions."""
    _count: int = 0
    """How many examples they are for; all candidates are judged on as many."""

    def __post_init__(self) -> None:
        self.inputs = prepared(self.examples.inputs, self.plan.model.preprocessing)

    def count(self, call_ms: float) -> int:
        """How many examples are judged on, for a model whose calls take ``call_ms``."""
        affordable = int(_LONGEST_SHARE * self.plan.searched.budget_s * _MS_PER_S / call_ms)
        return min(len(self.examples), max(affordable, _FEWEST))

    def __call__(self, candidates: Mapping[str, Subject], reference: Subject, call_ms: float) -> dict[str, Judged]:
        """How candidates compare with the reference, by their keys. ``call_ms`` is the reference's call.

        Raises UserError and OutOfSpace as ``predict`` does.
        """
        own = candidate_key(*self.plan.measure.reference_for(reference.target.name))
        failures: dict[str, SlimlineError] = {}
        if self._reference is None:
            self._count = self.count(call_ms)
            found = self._predicted({own: reference, **candidates}, failures)
            self._reference = found.pop(own, None)
        else:
            found = self._predicted(candidates, failures)
        if self._reference is None:
            return dict.fromkeys(candidates, Judged(failure=failures[own]))
        compared = {key: self._compared(key, one, own, self._reference) for key, one in found.items()}
        return compared | {key: Judged(failure=failures[key]) for key in failures}

    def _compared(self, key: str, candidate: Predicted, own: str, reference: Predicted) -> Judged:
        """A candidate beside the reference. Each is compared by itself: a look chooses, and corrects nothing for how
        many are looked at."""
        if reference.predictions is None or candidate.predictions is None:
            return Judged(why=candidate.reason or reference.reason or "")
        labels = self.examples.labels
        samples = AccuracySamples(
            labels=None if labels is None else labels[: self._count],
            predictions={own: reference.predictions, key: candidate.predictions},
            metric=self.plan.metric.name,
            metric_class=class_path(self.plan.metric),
            metric_fields=fields_of(self.plan.metric),
        )
        accuracy = accuracies(samples, self.plan.constraints, self.plan.measure).get(key)
        return Judged(accuracy=accuracy, why="; ".join(accuracy_obstacles(accuracy)))

    def _predicted(self, subjects: Mapping[str, Subject], failures: dict[str, SlimlineError]) -> dict[str, Predicted]:
        """What each predicts for the first examples; ``failures`` is told why others could not be run."""
        first = {name: chosen(array, slice(self._count)) for name, array in self.inputs.items()}
        inputs, stop = WithAxes(first, axes_of(self.inputs)), Event()

        def predicted(subject: Subject) -> Predicted:
            return predict(
                subject.artifact,
                subject.target,
                self.plan.metric,
                inputs,
                max(self.plan.batch_sizes),
                output_axes=self.output_axes,
                limits=limits_for(self.plan),
                stop=stop,
            )

        found: dict[str, Predicted] = {}
        with workers(at_once(subject.target for subject in subjects.values()), stop) as pool:
            futures = {key: pool.submit(predicted, subject) for key, subject in subjects.items()}
            for key, future in futures.items():
                with reasoned(partial(failures.__setitem__, key)):
                    found[key] = future.result()
        return found


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
