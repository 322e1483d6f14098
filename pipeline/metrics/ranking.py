"""Judges how well the scores of classes rank the examples: what the areas under curves share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import rankdata

from pipeline.errors import UserError
from pipeline.metrics.counts import evened
from pipeline.metrics.judging import Judging
from pipeline.metrics.outputs import taken
from pipeline.metrics.overall import Overall
from pipeline.metrics.scores import Predictions, Truth
from pipeline.metrics.top_one import TopOne, are_probabilities

Area = Callable[[NDArray[np.intp], NDArray[np.intp]], float]
"""The figure of one class, from the number of its examples and of the others [R] at each of R scores, the least score
first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(TopOne):
    """A figure of how well a class's scores tell its examples from the others; the mean over the classes that occur.

    Two classes, or a single column, have one figure: of class 1. ``output`` and ``axis`` say where the scores are, as
    for TopOne.
    """

    name: ClassVar[str] = "ranking"
    area: ClassVar[Area]

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples, which rests on the fewer the rarer a class is."""
        return Overall(
            figure=self._figure, prepare=self._ranks, rests_on=lambda predictions, truth: evened(truth), unit="number"
        )

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name. A threshold moves no figure, so there is no note on it."""
        return TopOne.fitted(self, outputs)[0], None

    def told(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        """The best class [N]."""
        return TopOne.predictions(self, outputs)

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The scores [N] of class 1, or [N, C] of several classes: their logarithms where they add up to 1 only after a
        softmax. Raises UserError for another shape, and for scores that are not finite."""
        best = self.told(outputs)
        scores = self.class_scores(outputs)
        found = taken(outputs, self.output, self.name).reshape(len(best), -1) if scores is None else scores
        if best.ndim != 1 or found.dtype.kind != "f":
            raise UserError(
                f"metric '{self.name}' needs output {self.output!r} to be scores [examples, classes] or one score an "
                f"example, but it tells classes {list(best.shape)}: name another with metric.output"
            )
        if not np.isfinite(found).all():
            raise UserError(f"metric '{self.name}' needs scores that are finite numbers, and some are not")
        found = np.asarray(found, np.float64)
        if found.shape[1] == 1:
            return found[:, 0]
        if found.shape[1] == 2:
            return np.asarray(found[:, 1] - found[:, 0])
        return np.asarray(found if are_probabilities(found) else log_softmax(found, axis=-1), np.float32)

    def _ranks(self, predictions: Predictions, truth: Truth) -> NDArray[np.int64]:
        """The place of each score [N, C] among the different scores of its class, from 0 on."""
        classes = predictions.shape[1] if predictions.ndim > 1 else 2
        if truth.shape != predictions.shape[:1] or truth.dtype.kind == "f" or truth.max(initial=0) >= classes:
            raise UserError(
                f"metric '{self.name}' needs one class number an example, 0 to {classes - 1}, and the labels are "
                f"{truth.dtype} {list(truth.shape)}"
            )
        columns = predictions.reshape(len(predictions), -1)
        return np.asarray(rankdata(columns, method="dense", axis=0) - 1, np.int64)

    def _figure(self, ranks: NDArray[Any], truth: NDArray[Any]) -> float:
        if ranks.shape[1] == 1:
            return self._area_of(ranks[:, 0], truth == 1)
        classes = np.unique(truth)
        return float(np.mean([self._area_of(ranks[:, number], truth == number) for number in classes[classes >= 0]]))

    def _area_of(self, ranks: NDArray[Any], own: NDArray[np.bool_]) -> float:
        size = int(ranks.max(initial=0)) + 1
        return type(self).area(np.bincount(ranks[own], minlength=size), np.bincount(ranks[~own], minlength=size))
