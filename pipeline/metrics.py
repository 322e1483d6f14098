"""What is taken from a model's outputs for each example, and how it is judged against what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

NO_PREDICTION = -1
"""Predicted where the scores hold something that is not a number; no label is -1, so it never counts as right."""
AGREEMENT = "agreement"
"""The metric's name where the baseline's classes stand in for labels."""
COSINE = "cosine"
AGAINST_BASELINE = frozenset({AGREEMENT, COSINE})
"""Metrics whose 100 % are the baseline itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOne:
    """The class with the highest score, the first of equals; its metric is top-1 accuracy."""

    name: ClassVar[str] = "accuracy"

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        """The best class [N] of the first output's scores [N, C]; raises UserError for another shape."""
        scores = _first(outputs, self.name)
        if scores.ndim != 2 or scores.shape[1] == 0:
            raise UserError(
                f"metric '{self.name}' needs the model's first output to be class scores [examples, classes], "
                f"but its shape is {list(scores.shape)}: let the model return its class scores first, take "
                "metric=cosine for a model without classes, or write a metric for this output and select it with "
                "metric=NAME"
            )
        best: NDArray[np.int64] = scores.argmax(axis=1).astype(np.int64)
        if np.issubdtype(scores.dtype, np.floating):
            best[np.isnan(scores).any(axis=1)] = NO_PREDICTION
        return best


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """The cosine of the angle between a variant's first output and the baseline's; for embeddings and the like.

    Labels are not used.
    """

    name: ClassVar[str] = COSINE

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """The first output [N, ...] as one vector [N, D] an example; raises UserError where it has no such shape."""
        vectors = _first(outputs, self.name)
        if vectors.ndim < 2 or vectors.size == 0:
            raise UserError(
                f"metric '{self.name}' needs the model's first output to be a vector an example [examples, size], "
                f"but its shape is {list(vectors.shape)}"
            )
        return vectors.reshape(len(vectors), -1).astype(np.float32)


def judged(predictions: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """How right each prediction is [N]: for classes [N] 1 or 0, for vectors [N, D] their cosine, -1 to 1.

    A vector of zeros, or one that holds something that is not a number, is right where the other is the same (1), and
    wrong otherwise (0).
    """
    if predictions.ndim == 1:
        right: NDArray[np.float64] = (predictions == truth).astype(np.float64)
        return right
    first, second = predictions.astype(np.float64), truth.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    usable = np.isfinite(lengths) & (lengths > 0)
    found: NDArray[np.float64] = np.array(
        [np.array_equal(*pair, equal_nan=True) for pair in zip(first, second, strict=True)], np.float64
    )
    found[usable] = (first[usable] * second[usable]).sum(axis=1) / lengths[usable]
    np.clip(found, -1.0, 1.0, out=found)
    return found


def _first(outputs: Sequence[NDArray[Any]], metric: str) -> NDArray[Any]:
    if not outputs:
        raise UserError(f"metric '{metric}' needs an output, but the model returned none")
    return np.asarray(outputs[0])
