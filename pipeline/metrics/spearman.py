"""Spearman's correlation: whether a model's numbers have the order of the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.judging import Judging
from pipeline.metrics.overall import Overall
from pipeline.metrics.regression import Regression, check_labels, correlation
from pipeline.metrics.scores import Predictions, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Spearman(Regression):
    """The correlation of the ranks of numbers and labels, -1 to 1; of several numbers an example, the mean of theirs.

    Source: Spearman 1904, "The proof and measurement of association between two things".
    """

    name: ClassVar[str] = "Spearman correlation"

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples, which each of them moves."""
        return Overall(
            figure=_figure, prepare=self._places, rests_on=None, unit="number", span=(-1.0, 1.0), numbers=True
        )

    def _places(self, predictions: Predictions, truth: Truth) -> NDArray[np.int64]:
        """The place of each number and label among the different ones of its output [N, D, 2]; -1 where there is no
        label."""
        from scipy.stats import rankdata

        check_labels(self.name, predictions, truth)
        pairs = np.stack([array.reshape(len(array), -1) for array in (predictions, truth)], axis=-1)
        places = np.asarray(rankdata(np.nan_to_num(pairs), method="dense", axis=0) - 1, np.int64)
        places[np.isnan(pairs[..., 1])] = -1
        return places


def _figure(places: NDArray[np.int64], truth: Truth) -> float:
    columns = [column[column[:, 0] >= 0] for column in np.moveaxis(places, 1, 0)]
    return float(np.mean([correlation(*(_ranks(each) for each in column.T)) for column in columns]))


def _ranks(places: NDArray[np.int64]) -> NDArray[np.float64]:
    """The ranks of a sample, the mean of theirs for equal ones, without sorting it."""
    counts = np.bincount(places)
    return np.asarray((counts.cumsum() - (counts - 1) / 2)[places])
