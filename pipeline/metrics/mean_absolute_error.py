"""Mean absolute error: how far a model's numbers are from the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.judging import Average, Judging
from pipeline.metrics.regression import Regression, check_labels
from pipeline.metrics.scores import Predictions, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAbsoluteError(Regression):
    """The mean, over the examples, of how far the output is from the label; of several numbers an example, their mean.
    Less is better."""

    name: ClassVar[str] = "mean absolute error"

    @property
    def judging(self) -> Judging:
        """The judging: each example has an error."""
        return Average(scores=self._errors, unit="error", numbers=True)

    def _errors(self, predictions: Predictions, truth: Truth) -> NDArray[np.float64]:
        check_labels(self.name, predictions, truth)
        errors = np.abs(predictions - truth).reshape(len(truth), -1)
        given = ~np.isnan(errors)
        judged = given.any(axis=1)
        found: NDArray[np.float64] = np.nansum(errors[judged], axis=1) / given[judged].sum(axis=1)
        return found
