"""R²: the share of the labels' variance that a model explains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.judging import Judging
from pipeline.metrics.overall import Overall
from pipeline.metrics.regression import Regression, check_labels, columns
from pipeline.metrics.scores import Predictions, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class R2(Regression):
    """The coefficient of determination: 1 is perfect, 0 no better than the labels' mean; of several numbers an example,
    the mean of theirs."""

    name: ClassVar[str] = "R²"

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples, which each of them moves."""
        return Overall(figure=self._figure, rests_on=None, unit="number", span=(-math.inf, 1.0), numbers=True)

    def _figure(self, predictions: Predictions, truth: Truth) -> float:
        check_labels(self.name, predictions, truth)
        return float(np.mean([_explained(*pair) for pair in columns(predictions, truth)]))


def _explained(numbers: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """1 less the squared errors over the labels' squared deviations. Labels that do not vary give 1 where every number
    is right, else 0, as scikit-learn has it."""
    if not len(labels):
        return 0.0
    left, all_ = float(((labels - numbers) ** 2).sum()), float(((labels - labels.mean()) ** 2).sum())
    return 1 - left / all_ if all_ > 0 else float(left == 0)
