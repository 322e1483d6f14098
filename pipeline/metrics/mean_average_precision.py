"""Mean average precision of a detector, by COCO's definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Count, Part
from pipeline.errors import UserError
from pipeline.metrics.counts import evened
from pipeline.metrics.detections import table
from pipeline.metrics.judging import Judging
from pipeline.metrics.outputs import place_of, taken
from pipeline.metrics.overall import Overall
from pipeline.metrics.scores import Predictions, Truth

_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanAveragePrecision:
    """The mean, over the classes that occur and over the IoU thresholds, of the precision at 101 levels of recall.

    Labels are boxes [N, M, 5] (``data.label_kind=boxes``). Source: Lin et al. 2014, "Microsoft COCO: common objects in
    context"; pycocotools computes the same figure (``AP`` of all areas).
    """

    name: ClassVar[str] = "mean average precision"
    iou: Part | None = None
    """The intersection over union from which on a detection hits a box; None: the mean over 0.50, 0.55, … 0.95."""
    max_detections: Count = 100
    """How many detections of an example and class count, those with the highest scores."""
    output: int | str = 0
    """The output that holds the detections, by its place or name."""

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples, which rests on the fewer the rarer a class is."""
        return Overall(figure=_figure, prepare=self._table, rests_on=_rests_on)

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """The detections [N, D, 6]: x1, y1, x2, y2, score, class, and rows of NaN where there is none; raises UserError
        for another shape."""
        found = taken(outputs, self.output, self.name)
        if found.ndim != 3 or found.shape[-1] != 6 or found.dtype.kind not in "iuf":
            raise UserError(
                f"metric '{self.name}' needs detections [examples, detections, 6] (x1, y1, x2, y2, score, class), but "
                f"output {self.output!r} is {found.dtype} {list(found.shape)}: type postprocessing=nms for boxes and "
                "scores, or postprocessing=function model.postprocessing.function=my_package.my_function"
            )
        return found.astype(np.float64)

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name, and no note."""
        return replace(self, output=place_of(list(outputs), self.output)), None

    def _table(self, predictions: Predictions, truth: Truth) -> NDArray[np.void]:
        if truth.ndim != 3 or truth.shape[-1] != 5 or truth.dtype.kind != "f":
            raise UserError(
                f"metric '{self.name}' needs labels that are boxes [examples, boxes, 5], and the labels are "
                f"{truth.dtype} {list(truth.shape)}: type data.label_kind=boxes"
            )
        thresholds = _THRESHOLDS if self.iou is None else np.array([self.iou])
        return table(predictions, truth, thresholds, self.max_detections)


def _figure(ready: NDArray[np.void], truth: Truth) -> float:
    totals = ready["boxes"].sum(axis=0)
    kinds = ready["kind"].ravel()
    order = np.argsort(ready["place"].ravel(), kind="stable")
    order = order[kinds[order] >= 0]
    kinds, hits = kinds[order], ready["hit"].reshape(-1, ready["hit"].shape[-1])[order]
    found = [_area(hits[kinds == kind], total) for kind, total in enumerate(totals) if total]
    return float(np.mean(found)) if found else 0.0


def _area(hits: NDArray[np.bool_], total: int) -> float:
    """The mean precision at the levels of recall, from the hits [D, T] of a class with ``total`` boxes, the best first.

    At a level it is the best precision from there on; at one that is not reached it is 0.
    """
    right = hits.cumsum(axis=0)
    precision = right / np.arange(1, len(hits) + 1)[:, None]
    best_from = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(_RECALLS, np.arange(total + 1) / total, side="right")
    reached[0] = 0
    levels = np.diff(reached, prepend=0)[right]  # how many the hit is the first to reach
    return float((hits * levels * best_from).sum() / (hits.shape[1] * len(_RECALLS)))


def _rests_on(predictions: Predictions, truth: Truth) -> int:
    """As many examples as a mean over the classes rests on, where an example counts once for each of its classes."""
    own = [np.unique(example[:, 4]) for example in truth]
    classes = np.concatenate(own)
    return evened(classes[classes >= 0])
