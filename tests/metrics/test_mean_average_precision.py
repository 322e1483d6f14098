"""Mean average precision: the figure against COCO's own code, the change, and what it needs."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.data.boxes import NO_BOX
from pipeline.errors import UserError
from pipeline.metrics.mean_average_precision import MeanAveragePrecision
from tests.metrics.judged import judged, value

METRIC = MeanAveragePrecision()
Array = NDArray[np.float64]


def _drawn(images: int, most: int, classes: int, seed: int) -> Array:
    """Labels [N, M, 5] of 0 to M boxes an image."""
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 80, (images, most, 2)), rng.uniform(5, 40, (images, most, 2))
    kinds = rng.integers(0, classes, (images, most, 1))
    labels = np.concatenate([corner, corner + size, kinds], axis=-1)
    labels[np.arange(most) >= rng.integers(0, most + 1, (images, 1))] = NO_BOX
    return labels


def _found(labels: Array, shake: float, classes: int, seed: int = 0) -> Array:
    """Detections [N, D, 6]: each box shaken, some of a wrong class, and as many that are nothing."""
    rng = np.random.default_rng(seed)
    others = _drawn(len(labels), labels.shape[1], classes, seed + 1)
    boxes = np.concatenate([labels, others], axis=1)
    there = boxes[..., 4] != NO_BOX
    corners = (boxes[..., :4] + rng.normal(0, shake, (*boxes.shape[:2], 4))).reshape(*boxes.shape[:2], 2, 2)
    boxes[..., :4] = np.sort(corners, axis=2).reshape(*boxes.shape[:2], 4)
    wrong = rng.random(there.shape) < 0.1
    boxes[wrong, 4] = rng.integers(0, classes, int(wrong.sum()))
    scores = rng.random((*there.shape, 1)).round(2)  # with equal ones
    found = np.concatenate([boxes[..., :4], scores, boxes[..., 4:]], axis=-1)
    found[~there] = np.nan
    return found


def _coco(labels: Array, detections: Array, iou: float | None = None, most: int = 100) -> float:
    def sized(row: Array) -> list[float]:
        return [row[0], row[1], row[2] - row[0], row[3] - row[1]]

    truth = [(image, row) for image, rows in enumerate(labels) for row in rows if row[4] >= 0]
    marks = [
        {"id": number + 1, "image_id": image, "category_id": int(row[4]), "bbox": sized(row), "iscrowd": 0}
        | {"area": float((row[2] - row[0]) * (row[3] - row[1]))}
        for number, (image, row) in enumerate(truth)
    ]
    results: list[dict[str, Any]] = [
        {"image_id": image, "category_id": int(row[5]), "bbox": sized(row), "score": row[4]}
        for image, rows in enumerate(detections)
        for row in rows
        if row[5] >= 0
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = {
            "images": [{"id": image} for image in range(len(labels))],
            "annotations": marks,
            "categories": [{"id": number} for number in range(20)],
        }
        data.createIndex()
        found = COCOeval(data, data.loadRes(results), "bbox")
        found.params.maxDets = [most]
        if iou is not None:
            found.params.iouThrs = np.array([iou])
        found.evaluate()
        found.accumulate()
    precision = found.eval["precision"][:, :, :, 0, 0]
    return float(precision[precision > -1].mean())


@pytest.mark.parametrize(
    ("seed", "shake", "options"),
    [(0, 1.0, {}), (1, 3.0, {}), (2, 2.0, {"iou": 0.5}), (3, 2.0, {"iou": 0.75}), (4, 1.0, {"max_detections": 3})],
)
def test_the_figure_is_pycocotools(seed: int, shake: float, options: dict[str, Any]) -> None:
    labels = _drawn(60, 12, 4, seed)
    found = _found(labels, shake, 5, seed)
    expected = _coco(labels, found, options.get("iou"), options.get("max_detections", 100))
    assert 0.05 < expected < 0.95
    assert value(MeanAveragePrecision(**options), found, labels) == pytest.approx(expected, abs=1e-6)


def test_a_worse_detector_is_found_worse() -> None:
    labels = _drawn(30, 4, 2, 0)
    found = judged(MeanAveragePrecision(iou=0.5), _found(labels, 0.5, 2), _found(labels, 9.0, 2), labels)
    assert found.delta_low is not None
    assert found.delta is not None
    assert found.delta_high is not None
    assert (found.unit, found.verdict) == ("percent", "FAILS MARGIN")
    assert -1 <= found.delta_low < found.delta < found.delta_high < 0


def test_a_detection_in_a_picture_without_boxes_counts_against_the_model() -> None:
    box, nothing = [0, 0, 10, 10, 0], [NO_BOX] * 5
    labels = np.array([[box], [nothing]], np.float64)
    right, wrong = [0, 0, 10, 10, 0.5, 0], [0, 0, 10, 10, 0.9, 0]
    found = np.array([[right], [[np.nan] * 6]])
    assert value(METRIC, found, labels) == 1
    assert value(METRIC, np.array([[right], [wrong]]), labels) == 0.5
    estimate = METRIC.judging.estimate(np.array([[right], [wrong]]), labels)
    assert estimate is not None
    assert estimate.n == 2


def test_what_is_no_detection_or_no_box_is_told_with_what_to_type() -> None:
    with pytest.raises(UserError, match=r"detections .* but output 0 is float64 \[2, 5\]: type postprocessing=nms"):
        METRIC.predictions([np.zeros((2, 5))])
    with pytest.raises(UserError, match=r"the labels are int64 \[2\]: type data\.label_kind=boxes"):
        METRIC.judging.value(np.zeros((2, 3, 6)), np.zeros(2, np.int64))
