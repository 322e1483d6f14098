"""Scores how right or how alike each example is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError

Predictions = NDArray[Any]
"""The predictions, one an example: [N], or [N, ...]."""
Truth = NDArray[Any]
"""The truth for the same examples: labels, or the baseline's predictions."""


def right_shares(predictions: Predictions, truth: Truth) -> NDArray[np.float64]:
    """How right each example's classes are: 1 or 0 for [N]; the share that is right for several classes an example [N,
    ...]. Examples whose labels are all ``IGNORED`` are left out. Raises UserError where the shapes differ."""
    if predictions.shape != truth.shape:
        raise UserError(
            f"the model tells classes {list(predictions.shape)}, and the labels are {list(truth.shape)}: give a label "
            "for each class that is told"
        )
    parts = tuple(range(1, predictions.ndim))
    counted = truth != IGNORED
    right = ((predictions == truth) & counted).sum(axis=parts, dtype=np.float64)
    counts = counted.sum(axis=parts, dtype=np.float64)
    found: NDArray[np.float64] = right[counts > 0] / counts[counts > 0]
    return found


def cosines(predictions: Predictions, truth: Truth) -> NDArray[np.float64]:
    """The cosine, -1 to 1, of each example's two vectors [N, D].

    A vector of zeros, or with a value that is not a number, counts 1 where the other is the same, and 0 otherwise.
    """
    first, second = (array.reshape(len(array), -1).astype(np.float64) for array in (predictions, truth))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    usable = np.isfinite(lengths) & (lengths > 0)
    found: NDArray[np.float64] = np.array(
        [np.array_equal(*pair, equal_nan=True) for pair in zip(first, second, strict=True)], np.float64
    )
    found[usable] = (first[usable] * second[usable]).sum(axis=1) / lengths[usable]
    np.clip(found, -1.0, 1.0, out=found)
    return found
