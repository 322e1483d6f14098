"""Mean intersection over union, for segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.counts import check_shapes, class_counts
from pipeline.metrics.judging import Judging
from pipeline.metrics.overall import Overall
from pipeline.metrics.scores import Predictions, Truth
from pipeline.metrics.top_one import TopOne


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanIou(TopOne):
    """Each class's intersection over union, counted over the pixels of all examples; the mean over the classes that
    occur or are predicted. Labels [N, H, W] are needed.

    ``output`` and ``axis`` say where the scores [N, C, H, W] are, as for TopOne. Source: Everingham et al. 2015, "The
    Pascal visual object classes challenge: a retrospective".
    """

    name: ClassVar[str] = "mean IoU"

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples; a picture is one example, however many pixels it has."""
        return Overall(figure=_figure, prepare=self._counts)

    def _counts(self, predictions: Predictions, truth: Truth) -> NDArray[np.int64]:
        """How often each example has each class [N, 3, C]: told rightly, told, true."""
        check_shapes(self.name, predictions, truth)
        classes = 1 + max(int(predictions.max(initial=0)), int(truth.max(initial=0)))
        counts = [class_counts(own, right, classes) for own, right in zip(predictions, truth, strict=True)]
        return np.stack(counts) if counts else np.zeros((0, 3, classes), np.int64)


def _figure(counts: NDArray[Any], truth: Truth) -> float:
    both, told, true = counts.sum(axis=0)
    union = told + true - both
    return float((both[union > 0] / union[union > 0]).mean()) if union.any() else 0.0
