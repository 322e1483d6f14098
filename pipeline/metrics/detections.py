"""Matches detections with the true boxes of their picture, as COCO's evaluation does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.boxes import overlaps

Rows = NDArray[np.float64]
_SCORE, _CLASS, _TRUE_CLASS = 4, 5, 4


def matched(detections: Rows, truth: Rows, thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which detections [D, 6] of one class, the best first, hit one of the boxes [B, 5] at each IoU threshold [D, T].

    In turn, each takes of the boxes that none has taken the one that it overlaps most.
    """
    shared = overlaps(detections[:, :4], truth[:, :4])
    free = np.ones((len(thresholds), len(truth)), np.bool_)
    hits = np.zeros((len(detections), len(thresholds)), np.bool_)
    if not len(truth):
        return hits
    for hit, own in zip(hits, shared, strict=True):
        usable = np.where(free & (own >= thresholds[:, None]), own, -1.0)
        last_best = len(truth) - 1 - usable[:, ::-1].argmax(axis=1)
        hit[:] = usable.max(axis=1) >= 0
        free[hit, last_best[hit]] = False
    return hits


def table(
    predictions: NDArray[Any], truth: NDArray[Any], thresholds: NDArray[np.float64], most: int
) -> NDArray[np.void]:
    """An entry for each example [N], to be sampled: how many ``boxes`` each of the classes that occur has [C], and for
    each detection its ``place`` among all by score, from 0 on, the place of its class as ``kind`` (-1: no detection),
    and whether it is a ``hit`` at each threshold [T]. ``most`` detections of an example and class count."""
    classes = np.unique(truth[..., _TRUE_CLASS][truth[..., _TRUE_CLASS] >= 0])
    each = [_example(own, right, classes, thresholds, most) for own, right in zip(predictions, truth, strict=True)]
    size = max((len(rows) for rows, _ in each), default=0)
    found = np.zeros(
        len(each),
        [
            ("boxes", np.int64, (len(classes),)),
            ("place", np.int64, (size,)),
            ("kind", np.int64, (size,)),
            ("hit", np.bool_, (size, len(thresholds))),
        ],
    )
    found["kind"] = -1
    scores = np.full((len(each), size), -np.inf)
    for index, (rows, hits) in enumerate(each):
        scores[index, : len(rows)] = rows[:, _SCORE]
        found["kind"][index, : len(rows)] = np.searchsorted(classes, rows[:, _CLASS])
        found["hit"][index, : len(rows)] = hits
    found["place"].flat[np.argsort(-scores, axis=None, kind="stable")] = np.arange(scores.size)
    found["boxes"] = (truth[..., _TRUE_CLASS, None] == classes).sum(axis=1)
    return found


def _example(
    detections: Rows, truth: Rows, classes: NDArray[np.float64], thresholds: NDArray[np.float64], most: int
) -> tuple[Rows, NDArray[np.bool_]]:
    """The detections [D, 6] of an example, class by class and the best of each first, and where they hit [D, T]."""
    rows, hits = [np.empty((0, 6))], [np.empty((0, len(thresholds)), np.bool_)]
    for number in classes:
        own = detections[detections[:, _CLASS] == number]
        own = own[np.argsort(-own[:, _SCORE], kind="stable")][:most]
        right = truth[truth[:, _TRUE_CLASS] == number]
        rows.append(own)
        hits.append(matched(own, right, thresholds))
    return np.concatenate(rows), np.concatenate(hits)
