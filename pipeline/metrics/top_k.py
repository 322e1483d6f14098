"""Top-k accuracy: whether the right class is among the k with the highest scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Count
from pipeline.errors import UserError
from pipeline.metrics.judging import ByExample, Judging
from pipeline.metrics.scores import Predictions, Truth, right_shares
from pipeline.metrics.top_one import NO_PREDICTION, TopOne


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK(TopOne):
    """Whether the label is among the k classes with the highest scores; labels are needed.

    ``output`` and ``axis`` say where the scores are, as for TopOne.
    """

    name: ClassVar[str] = "top-k accuracy"
    k: Count = 5
    """The number of classes that may hold the right one."""

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name, and a note. Raises UserError where k leaves no class
        out."""
        found, _ = TopOne.fitted(self, outputs)
        classes = found.classes(list(outputs.values()))
        if classes is not None and self.k >= classes:
            raise UserError(f"metric.k={self.k} leaves no class out, as the model has {classes}: type a smaller one")
        return found, f"an example is right where its label is among the {self.k} best classes (metric.k)"

    @property
    def judging(self) -> Judging:
        """The judging: examples are right or wrong."""
        return ByExample(scores=self._among, needs_labels=True)

    def told(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        """The best class [N, ...]."""
        return TopOne.predictions(self, outputs)

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        """The k best classes [N, ..., k], the best first; raises UserError where the output has no score for each of
        more than k classes."""
        best = self.told(outputs)
        scores = self.class_scores(outputs)
        if scores is None or scores.shape[-1] <= self.k:
            found = None if scores is None else list(scores.shape)
            raise UserError(
                f"metric '{self.name}' needs output {self.output!r} to hold a score for each of more than "
                f"metric.k={self.k} classes, but it has {'one score an example' if found is None else found}"
            )
        order = np.argsort(-scores, axis=-1, kind="stable")[..., : self.k].astype(np.int64)
        order[best == NO_PREDICTION] = NO_PREDICTION
        return order

    def _among(self, predictions: Predictions, truth: Truth) -> NDArray[np.float64]:
        if predictions.shape[:-1] != truth.shape:
            return right_shares(predictions[..., 0], truth)  # which says what is wrong
        among = (predictions == truth[..., None]).any(axis=-1)
        return right_shares(np.where(among, truth, NO_PREDICTION), truth)
