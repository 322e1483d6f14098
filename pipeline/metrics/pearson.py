"""Pearson's correlation between a model's numbers and the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.metrics.judging import Judging
from pipeline.metrics.overall import Overall
from pipeline.metrics.regression import Regression, check_labels, columns, correlation
from pipeline.metrics.scores import Predictions, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Pearson(Regression):
    """How near numbers and labels are to a straight line, -1 to 1; of several numbers an example, their mean."""

    name: ClassVar[str] = "Pearson correlation"

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples, which each of them moves."""
        return Overall(figure=self._figure, rests_on=None, unit="number", span=(-1.0, 1.0), numbers=True)

    def _figure(self, predictions: Predictions, truth: Truth) -> float:
        check_labels(self.name, predictions, truth)
        return float(np.mean([correlation(*pair) for pair in columns(predictions, truth)]))
