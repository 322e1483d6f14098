"""Measures how much a model loses by its layers being quantized, each by itself and several together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.artifact.proof import drift
from pipeline.artifact.run import Outputs, run
from pipeline.data.batches import Feed, first_of
from pipeline.errors import StageFailed, UserError
from pipeline.metrics import Judging, TopOne, judging_of, merit, scale_of
from pipeline.plan import Context, Metric
from pipeline.stages.quantization.alone import Alone
from pipeline.stages.quantization.nodes import products

EXAMPLES = 100
"""How many examples tell what a layer loses by itself, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The loss of a quantized model against its source."""

    sqnr_db: float | None
    """The signal over the noise of the outputs; None: the outputs are the same."""
    drop: float
    """The drop of the metric's figure: by labels where the metric uses them, else beside the source's own
    predictions. The rise of an error is given in parts of the source's error."""
    certain_drop: float
    """The lower end of the drop's 95 % interval."""
    expected_drop: float | None = None
    """The drop of the mean probability of what is right: it moves with every score, where the figure moves with a
    whole example. None where the model gives no probabilities of classes."""

    @property
    def likely_drop(self) -> float:
        """The smaller one of what was counted and what is expected."""
        return self.drop if self.expected_drop is None else min(self.drop, self.expected_drop)

    @property
    def least_drop(self) -> float:
        """The smallest drop that the examples allow: it is no less for certain, and most likely no less."""
        return max(self.certain_drop, self.likely_drop)

    def within(self, most: float) -> bool:
        """Whether the examples allow a drop of ``most`` at the most."""
        return self.least_drop <= most


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The source's outputs on validation examples, and the truth that candidates are judged by."""

    feed: Feed
    outputs: Outputs
    truth: NDArray[Any]
    """The labels; the source's own predictions where the metric uses no labels."""
    metric: Metric

    @staticmethod
    def of(source: Artifact, context: Context, examples: int) -> Judge:
        """A judge on the first ``examples`` of the validation split; raises StageFailed where the split is empty."""
        split = context.data.split("validation")
        if not len(split):
            raise StageFailed("layers are judged on the validation split, which is empty")
        feed = context.feed("validation", examples)
        outputs = run(source, feed)
        try:
            own = context.metric.predictions(outputs)
            labels = judging_of(context.metric, own).labels(own, split.labels)
        except UserError as error:
            raise StageFailed(str(error)) from error
        return Judge(
            feed=feed,
            outputs=outputs,
            truth=own if labels is None else labels,
            metric=context.metric,
        )

    def __call__(self, candidate: Artifact) -> Loss:
        """The loss of a candidate on the same examples."""
        outputs = run(candidate, self.feed)
        now, before = (self.metric.predictions(found) for found in (outputs, self.outputs))
        judging = judging_of(self.metric, now)
        change, scale = judging.change(now, before, self.truth), _scale(judging, before, self.truth)
        right = [self._right(found, predictions) for found, predictions in ((self.outputs, before), (outputs, now))]
        return Loss(
            sqnr_db=drift(self.outputs, outputs)["sqnr_db"],
            drop=-change.value / scale,
            certain_drop=-change.high / scale,
            expected_drop=None if right[0] is None or right[1] is None else right[0] - right[1],
        )

    def first(self, count: int) -> Feed:
        """The first few examples."""
        return first_of(self.feed, count)

    def of_the_first(self, outputs: Outputs) -> dict[str, float | None]:
        """The signal over the noise and the drop of outputs for the first N examples."""
        count = len(outputs[0])
        own, truth = [array[:count] for array in self.outputs], self.truth[:count]
        now, before = (self.metric.predictions(found) for found in (outputs, own))
        judging = judging_of(self.metric, now)
        drop = merit(judging, before, truth) - merit(judging, now, truth)
        drop /= _scale(judging, before, truth)
        return {"sqnr_db": drift(own, outputs)["sqnr_db"], "drop": drop}

    def _right(self, outputs: Outputs, predictions: NDArray[Any]) -> float | None:
        """The mean probability of what is right; None where there are no probabilities, or they are not the figure."""
        if not isinstance(self.metric, TopOne) or self.metric.judging.unit != "percent":
            return None
        probabilities = self.metric.probabilities(outputs)
        if probabilities is None or not probabilities.shape[:-1] == self.truth.shape == predictions.shape:
            return None
        truth = self.truth.reshape(-1).astype(np.int64)
        counted = (truth >= 0) & (truth < probabilities.shape[-1])
        if not counted.any():
            return None
        each = probabilities.reshape(-1, probabilities.shape[-1])
        return float(each[counted, truth[counted]].mean())


def _scale(judging: Judging, before: NDArray[Any], truth: NDArray[Any]) -> float:
    return scale_of(judging, judging.value(before, truth)) or 1.0


def sensitivities(alone: Alone, judge: Judge, progress: Callable[[float, str], None]) -> list[dict[str, Any]]:
    """The loss with each product with weights quantized by itself: ``node``, ``op``, ``sqnr_db``, ``drop``; the most
    sensitive first."""
    nodes = {node.name: node for node in products(alone.model)}
    feed = judge.first(EXAMPLES)
    found = []
    for number, (name, outputs) in enumerate(alone.outputs(list(nodes), feed)):
        progress(number / len(nodes), f"layer {number + 1} of {len(nodes)} alone")
        loss = {"sqnr_db": None, "drop": 0.0} if outputs is None else judge.of_the_first(outputs)
        found.append({"node": name, "op": nodes[name].op_type, **loss})
    return sorted(found, key=lambda layer: np.inf if layer["sqnr_db"] is None else layer["sqnr_db"])
