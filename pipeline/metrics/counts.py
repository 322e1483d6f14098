"""Counts classes for the figures that are made of counts: how often each is told, true, and both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.scores import Predictions, Truth


def class_counts(predictions: Predictions, truth: Truth, classes: int | None = None) -> NDArray[np.int64]:
    """How often each class is [both, told, true], as [3, C]; labels that are ``IGNORED`` do not count, and a prediction
    below 0 is no class. ``classes`` is C; None: as many as occur."""
    counted = truth != IGNORED
    own, right = predictions[counted], truth[counted]
    if classes is None:
        classes = 1 + max(int(own.max(initial=0)), int(right.max(initial=0)))
    told = own[own >= 0]
    return np.stack([np.bincount(found, minlength=classes) for found in (right[own == right], told, right)])


def check_shapes(name: str, predictions: Predictions, truth: Truth) -> None:
    """Raise UserError where the labels are no class numbers, or are not one for each class that is told."""
    if predictions.shape != truth.shape or truth.dtype.kind == "f":
        raise UserError(
            f"metric '{name}' needs a class number for each class that is told {list(predictions.shape)}, and the "
            f"labels are {truth.dtype} {list(truth.shape)}"
        )


def evened(truth: Truth) -> int:
    """The number of examples that a mean over the classes rests on: C² / Σ 1 / n_c of classes with n_c labels each. It
    is the number of labels where classes are equally frequent, and less where some are rare."""
    labels = truth[truth != IGNORED]
    counts = np.unique(labels, return_counts=True)[1]
    return int(len(counts) ** 2 / (1 / counts).sum()) if len(counts) else 0
