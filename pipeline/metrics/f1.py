"""F1 of one class: how well it is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import CountFromZero
from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.judging import Judging, Overall
from pipeline.metrics.top_one import TopOne


@dataclass(frozen=True, slots=True, kw_only=True)
class F1(TopOne):
    """The harmonic mean of precision and recall of one class; labels are needed.

    ``output``, ``threshold`` and ``axis`` say which class is predicted, as for TopOne. Source: van Rijsbergen 1979,
    "Information Retrieval", chapter 7.
    """

    name: ClassVar[str] = "F1"
    positive: CountFromZero = 1
    """The class that is to be found."""

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name, and a note or None. Raises UserError where the model has no
        such class."""
        found, note = TopOne.fitted(self, outputs)
        classes = found.classes(list(outputs.values()))
        if classes is not None and not 0 <= self.positive < classes:
            raise UserError(f"metric.positive={self.positive} is no class of the model, which has 0 to {classes - 1}")
        return found, note

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples, which rests on the examples that are of the class or are taken for
        it."""
        return Overall(figure=self._figure, rests_on=self._rests_on)

    def _figure(self, predictions: NDArray[Any], truth: NDArray[Any]) -> float:
        """2 TP / (2 TP + FP + FN); 0 where the class neither occurs nor is predicted, as scikit-learn has it."""
        told, true = self._of_the_class(predictions, truth)
        total = int(told.sum()) + int(true.sum())
        return 2 * int((told & true).sum()) / total if total else 0.0

    def _rests_on(self, predictions: NDArray[Any], truth: NDArray[Any]) -> int:
        told, true = self._of_the_class(predictions, truth)
        return int((told | true).sum())

    def _of_the_class(
        self, predictions: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the class is predicted, and where it is right."""
        if predictions.shape != truth.shape:
            raise UserError(
                f"metric '{self.name}' needs a label for each class that is told {list(predictions.shape)}, and the "
                f"labels are {list(truth.shape)}"
            )
        return (predictions == self.positive) & (truth != IGNORED), truth == self.positive
