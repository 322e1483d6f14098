"""What is taken from a model's outputs for each example, and how it is judged against what it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError

NO_PREDICTION = -1
"""Predicted where the scores hold something that is not a number; no label is -1, so it never counts as right."""
AGREEMENT = "agreement"
"""The metric's name where the baseline's classes stand in for labels."""
COSINE = "cosine"
AGAINST_BASELINE = frozenset({AGREEMENT, COSINE})
"""Metrics whose 100 % are the baseline itself."""
_PROBABILITY, _LOGIT = 0.5, 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOne:
    """The class with the highest score, the first of equals; its metric is top-1 accuracy.

    A single column is the score of class 1 against class 0. Whole numbers are classes already.
    """

    name: ClassVar[str] = "accuracy"
    output: int | str = 0
    """The output that holds the scores, by its place or name."""
    threshold: float | None = None
    """From where on a single column means class 1; None: 0.5 where all scores lie between 0 and 1, else 0."""
    axis: int | None = None
    """The scores' axis of classes; None: the last, and axis 1 of [N, C, H, W]."""

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        """The best class [N] of scores [N, C], [N, 1] or [N]; [N, T] of scores [N, T, C] (a tagger's), [N, H, W] of
        scores [N, C, H, W].

        Raises UserError for another shape.
        """
        scores = taken(outputs, self.output, self.name)
        if _is_single(scores):
            return self._two_classes(scores.reshape(-1))
        if scores.dtype.kind in "iub" and (scores.ndim == 1 or scores.shape[1:] == (1,)):
            return scores.reshape(-1).astype(np.int64)
        axis = self._axis(scores)
        if scores.size == 0 or scores.dtype.kind not in "iubf" or not 0 < axis < scores.ndim or scores.shape[axis] < 2:
            raise UserError(
                f"metric '{self.name}' needs output {self.output!r} to be class scores [examples, classes], but its "
                f"shape is {list(scores.shape)}: name the output that holds them with metric.output, take "
                "metric=cosine for a model without classes, or write a metric for this output and select it with "
                "metric=NAME"
            )
        best: NDArray[np.int64] = scores.argmax(axis=axis).astype(np.int64)
        if scores.dtype.kind == "f":
            best[np.isnan(scores).any(axis=axis)] = NO_PREDICTION
        return best

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[TopOne, str | None]:
        """The metric for a model with such outputs [N, ...] by name, and what to say of it where there is something."""
        place = place_of(list(outputs), self.output)
        found = replace(self, output=place)
        scores = taken(list(outputs.values()), place, self.name)
        if self.threshold is not None or not _is_single(scores):
            return found, None
        probable = bool(((scores >= 0) & (scores <= 1)).all())
        threshold = _PROBABILITY if probable else _LOGIT
        why = "all of them lie between 0 and 1" if probable else "they are no probabilities"
        note = (
            f"the model has one score an example: class 1 is predicted from {threshold:g} on, as {why} "
            "(metric.threshold sets another)"
        )
        return replace(found, threshold=threshold), note

    def classes(self, outputs: Sequence[NDArray[Any]]) -> int | None:
        """How many classes the scores tell apart; None where whole numbers are predicted."""
        scores = taken(outputs, self.output, self.name)
        if _is_single(scores):
            return 2
        axis = self._axis(scores)
        return int(scores.shape[axis]) if 0 < axis < scores.ndim and scores.shape[axis] > 1 else None

    def _axis(self, scores: NDArray[Any]) -> int:
        if self.axis is None:
            return 1 if scores.ndim > 3 else scores.ndim - 1
        return self.axis if self.axis >= 0 else scores.ndim + self.axis

    def _two_classes(self, scores: NDArray[Any]) -> NDArray[np.int64]:
        found = (scores >= (_LOGIT if self.threshold is None else self.threshold)).astype(np.int64)
        found[np.isnan(scores)] = NO_PREDICTION
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """The cosine of the angle between a variant's output and the baseline's; for embeddings and the like.

    Labels are not used.
    """

    name: ClassVar[str] = COSINE
    output: int | str = 0
    """The output that is compared, by its place or name."""

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """The output [N, ...] as one vector [N, D] an example; raises UserError where it is none of numbers."""
        vectors = taken(outputs, self.output, self.name)
        if vectors.ndim < 2 or vectors.size == 0 or vectors.dtype.kind not in "iubf":
            raise UserError(
                f"metric '{self.name}' needs output {self.output!r} to be a vector an example [examples, size], "
                f"but it is {vectors.dtype} {list(vectors.shape)}: name another with metric.output"
            )
        return vectors.reshape(len(vectors), -1).astype(np.float32)

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Cosine, str | None]:
        """The metric for a model with such outputs by name, and what to say of it where there is something."""
        place = place_of(list(outputs), self.output)
        vectors = taken(list(outputs.values()), place, self.name)
        single = vectors.ndim > 1 and vectors[:1].size == 1
        note = "each example's output is one number: a cosine only tells whether its sign is the baseline's"
        return replace(self, output=place), note if single else None


def in_classes(predictions: NDArray[Any]) -> bool:
    """Whether predictions are classes, right or wrong; else they are vectors, judged by their cosine."""
    return predictions.dtype.kind in "iub"


def label_truth(predictions: NDArray[Any], labels: NDArray[Any] | None) -> NDArray[Any] | None:
    """The labels, where predictions are held against them: classes, and as many an example as there are labels."""
    if labels is None or not in_classes(predictions) or labels.shape[1:] != predictions.shape[1:]:
        return None
    return labels[: len(predictions)]


def judged(predictions: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """How right each example's prediction is: for classes [N] 1 or 0, for several classes an example [N, ...] the share
    that is right, for vectors [N, D] their cosine, -1 to 1.

    Examples of which nothing is to be judged (``IGNORED``) are left out. A vector of zeros, or one that holds something
    that is not a number, is right where the other is the same (1), and wrong otherwise (0). Raises UserError where
    classes and truth differ in shape.
    """
    if not in_classes(predictions):
        return _cosines(predictions, truth)
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


def _cosines(predictions: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    first, second = (array.reshape(len(array), -1).astype(np.float64) for array in (predictions, truth))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    usable = np.isfinite(lengths) & (lengths > 0)
    found: NDArray[np.float64] = np.array(
        [np.array_equal(*pair, equal_nan=True) for pair in zip(first, second, strict=True)], np.float64
    )
    found[usable] = (first[usable] * second[usable]).sum(axis=1) / lengths[usable]
    np.clip(found, -1.0, 1.0, out=found)
    return found


def taken(outputs: Sequence[Any], output: int | str, metric: str) -> NDArray[Any]:
    """The output that a metric reads; raises UserError where the model has none there, or it is no array."""
    if not outputs:
        raise UserError(f"metric '{metric}' needs an output, but the model returned none")
    if isinstance(output, str) or not -len(outputs) <= output < len(outputs):
        raise UserError(f"metric.output={output} does not exist: the model has outputs 0 to {len(outputs) - 1}")
    found = outputs[output]
    if isinstance(found, (list, dict)):
        raise UserError(
            f"metric '{metric}' needs output {output} to be an array, but it is a sequence or map: name another with "
            "metric.output"
        )
    return np.asarray(found)


def place_of(names: Sequence[str], output: int | str) -> int:
    """The place of the output that is meant; raises UserError where there is none of that name."""
    if isinstance(output, int):
        return output
    if output in names:
        return list(names).index(output)
    raise UserError(f"metric.output={output} does not exist: the model's outputs are {', '.join(names)}")


def _is_single(scores: NDArray[Any]) -> bool:
    """Whether there is one score an example."""
    return scores.dtype.kind == "f" and (scores.ndim == 1 or (scores.ndim == 2 and scores.shape[1] == 1))
