"""F1: how well one class is found, or all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import CountFromZero
from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.counts import check_shapes, class_counts, evened
from pipeline.metrics.judging import Judging
from pipeline.metrics.overall import Overall
from pipeline.metrics.top_one import TopOne


@dataclass(frozen=True, slots=True, kw_only=True)
class F1(TopOne):
    """The harmonic mean of precision and recall; labels are needed.

    ``output``, ``threshold`` and ``axis`` say which class is predicted, as for TopOne. Source: van Rijsbergen 1979,
    "Information Retrieval", chapter 7.
    """

    name: ClassVar[str] = "F1"
    positive: CountFromZero = 1
    """The class that is to be found, where ``average`` is binary."""
    average: Literal["binary", "macro", "micro"] = "binary"
    """``binary`` is F1 of the class ``positive``, ``macro`` the mean of all classes' F1, and ``micro`` F1 of the counts
    of all classes together."""

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name, and a note or None. Raises UserError where the model has no
        such class."""
        found, note = TopOne.fitted(self, outputs)
        classes = found.classes(list(outputs.values()))
        if self.average == "binary" and classes is not None and not 0 <= self.positive < classes:
            raise UserError(f"metric.positive={self.positive} is no class of the model, which has 0 to {classes - 1}")
        return found, note

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples. It rests on the examples that are of the class or are taken for
        it, or on all."""
        if self.average == "binary":
            return Overall(figure=self._figure, rests_on=self._rests_on)
        return Overall(figure=self._macro if self.average == "macro" else self._micro, rests_on=self._of_all)

    def _figure(self, predictions: NDArray[Any], truth: NDArray[Any]) -> float:
        """2 TP / (2 TP + FP + FN); 0 where the class neither occurs nor is predicted, as scikit-learn has it."""
        told, true = self._of_the_class(predictions, truth)
        total = int(told.sum()) + int(true.sum())
        return 2 * int((told & true).sum()) / total if total else 0.0

    def _macro(self, predictions: NDArray[Any], truth: NDArray[Any]) -> float:
        """The mean over the classes that occur or are predicted."""
        check_shapes(self.name, predictions, truth)
        both, told, true = class_counts(predictions, truth)
        total = told + true
        return float((2 * both[total > 0] / total[total > 0]).mean()) if total.any() else 0.0

    def _micro(self, predictions: NDArray[Any], truth: NDArray[Any]) -> float:
        check_shapes(self.name, predictions, truth)
        both, told, true = class_counts(predictions, truth).sum(axis=1)
        return float(2 * both / (told + true)) if told + true else 0.0

    def _rests_on(self, predictions: NDArray[Any], truth: NDArray[Any]) -> int:
        told, true = self._of_the_class(predictions, truth)
        return int((told | true).sum())

    def _of_all(self, predictions: NDArray[Any], truth: NDArray[Any]) -> int:
        return evened(truth) if self.average == "macro" else len(truth)

    def _of_the_class(
        self, predictions: NDArray[Any], truth: NDArray[Any]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the class is predicted, and where it is right."""
        check_shapes(self.name, predictions, truth)
        return (predictions == self.positive) & (truth != IGNORED), truth == self.positive
