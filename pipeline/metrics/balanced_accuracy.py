"""Balanced accuracy: each class counts the same, however rare it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipeline.metrics.counts import check_shapes, class_counts, evened
from pipeline.metrics.judging import Judging
from pipeline.metrics.overall import Overall
from pipeline.metrics.scores import Predictions, Truth
from pipeline.metrics.top_one import TopOne


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedAccuracy(TopOne):
    """The mean of the classes' recall, over the classes that occur; labels are needed.

    ``output``, ``threshold`` and ``axis`` say which class is predicted, as for TopOne. Source: Brodersen et al. 2010,
    "The balanced accuracy and its posterior distribution".
    """

    name: ClassVar[str] = "balanced accuracy"

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples, which rests on the fewer the rarer a class is."""
        return Overall(figure=self._figure, rests_on=lambda predictions, truth: evened(truth))

    def _figure(self, predictions: Predictions, truth: Truth) -> float:
        check_shapes(self.name, predictions, truth)
        both, _, true = class_counts(predictions, truth)
        occurs = true > 0
        return float((both[occurs] / true[occurs]).mean()) if occurs.any() else 0.0
