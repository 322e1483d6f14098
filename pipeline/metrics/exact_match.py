"""Exact match: an example counts only where every part of it is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.counts import check_shapes
from pipeline.metrics.judging import ByExample, Judging
from pipeline.metrics.scores import Predictions, Truth, right_shares
from pipeline.metrics.top_one import TopOne


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactMatch(TopOne):
    """Whether each labelled part of an example (each token, say) has the right class; labels are needed.

    ``output``, ``threshold`` and ``axis`` say which class is predicted, as for TopOne.
    """

    name: ClassVar[str] = "exact match"

    @property
    def judging(self) -> Judging:
        """The judging: examples are right or wrong."""
        return ByExample(scores=self._matches, needs_labels=True)

    def _matches(self, predictions: Predictions, truth: Truth) -> NDArray[np.float64]:
        check_shapes(self.name, predictions, truth)
        return np.asarray(right_shares(predictions, truth) == 1, np.float64)
