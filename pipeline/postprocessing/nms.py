"""Non-maximum suppression: a detector's boxes and scores as detections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Count, Share
from pipeline.data.boxes import overlaps
from pipeline.errors import UserError
from pipeline.plan.postprocessing import Outputs
from pipeline.postprocessing.reading import named

Boxes = NDArray[np.float64]
"""Boxes [A, 4]."""
BoxFormat = Literal["xyxy", "xywh", "cxcywh"]


def _from_centre(boxes: Boxes) -> Boxes:
    half = boxes[..., 2:] / 2
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def _from_corner(boxes: Boxes) -> Boxes:
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


_CORNERS: Mapping[BoxFormat, Callable[[Boxes], Boxes]] = {
    "xyxy": lambda boxes: boxes,
    "xywh": _from_corner,
    "cxcywh": _from_centre,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nms:
    """Boxes with a score for each class become detections: of boxes that overlap, only the one with the highest score
    stays.

    Source: Girshick et al. 2014, "Rich feature hierarchies for accurate object detection", section 2.2 (greedy
    non-maximum suppression for each class).
    """

    boxes: int | str = 0
    """The output that holds the boxes [N, A, 4], by its place or name."""
    scores: int | str = 1
    """The output that holds the scores [N, A, C], by its place or name; of the background there is no score."""
    box_format: BoxFormat = "xyxy"
    """The four numbers of a box: two corners, a corner with width and height, or the centre with width and height."""
    score_threshold: float = 0.05
    """Boxes with a lower score, or an equal one, are no detections."""
    iou_threshold: Share = 0.5
    """Of two boxes that overlap by more (intersection over union), the one with the lower score goes."""
    max_detections: Count = 100
    """The most detections of an example."""
    per_class: bool = True
    """Whether only boxes of the same class displace each other, and a box may be of several classes; else each box is
    of its best class, and displaces any other."""

    @property
    def output(self) -> int | str:
        """The output that holds the scores."""
        return self.scores

    def __call__(self, outputs: Outputs) -> Outputs:
        """``detections`` [N, max_detections, 6]: x1, y1, x2, y2, score, class, the best first, and rows of NaN behind
        the last. Raises UserError where the outputs are no boxes and scores."""
        boxes, scores = self._read(outputs)
        found = np.full((len(boxes), self.max_detections, 6), np.nan)
        for row, *pair in zip(found, _CORNERS[self.box_format](boxes), scores, strict=True):
            detections = np.concatenate([np.empty((0, 6)), *self._by_class(*pair)])
            best = detections[np.argsort(-detections[:, 4], kind="stable")][: self.max_detections]
            row[: len(best)] = best
        return {"detections": found}

    def _read(self, outputs: Outputs) -> tuple[Boxes, NDArray[np.float64]]:
        names = named(outputs, self.boxes, "boxes"), named(outputs, self.scores, "scores")
        boxes, scores = (np.asarray(outputs[name]) for name in names)
        if boxes.ndim != 3 or boxes.shape[-1] != 4 or scores.ndim != 3 or scores.shape[:2] != boxes.shape[:2]:
            raise UserError(
                f"model.postprocessing (nms) needs boxes [examples, boxes, 4] and scores [examples, boxes, classes], "
                f"but output '{names[0]}' is {list(boxes.shape)} and output '{names[1]}' is {list(scores.shape)}: name "
                "others with model.postprocessing.boxes and model.postprocessing.scores"
            )
        return boxes.astype(np.float64), scores.astype(np.float64)

    def _by_class(self, boxes: Boxes, scores: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
        """The detections [D, 6] of an example's classes, or of all together."""
        if self.per_class:
            for number, own in enumerate(scores.T):
                yield self._suppressed(boxes, own, np.full(len(own), number))
            return
        yield self._suppressed(boxes, scores.max(axis=1), scores.argmax(axis=1))

    def _suppressed(self, boxes: Boxes, scores: NDArray[np.float64], classes: NDArray[Any]) -> NDArray[np.float64]:
        order = np.flatnonzero(scores > self.score_threshold)
        order = order[np.argsort(-scores[order], kind="stable")]
        kept: list[int] = []
        while len(order) and len(kept) < self.max_detections:
            first, order = order[0], order[1:]
            kept.append(int(first))
            order = order[overlaps(boxes[[first]], boxes[order])[0] <= self.iou_threshold]
        return np.column_stack([boxes[kept], scores[kept], classes[kept]])
