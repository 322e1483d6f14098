"""The metric for classifiers: the class with the highest score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.metrics.judging import CLASSES, Judging
from pipeline.metrics.outputs import place_of, taken

NO_PREDICTION = -1
"""The prediction where the scores hold a value that is not a number; no label is -1, so it never counts as right."""
_PROBABILITY, _LOGIT = 0.5, 0.0
_ROUNDING = 1e-2
"""Probabilities of a model in 16 or 8 bits add up to 1 but for so much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOne:
    """The class with the highest score, the first of equals; the metric is top-1 accuracy.

    A single column is the score of class 1 against class 0. Whole numbers are classes already.
    """

    name: ClassVar[str] = "accuracy"
    output: int | str = 0
    """The output that holds the scores, by its place or name."""
    threshold: float | None = None
    """The least score at which a single column means class 1; None: 0.5 where all scores lie between 0 and 1, else
    0."""
    axis: int | None = None
    """The scores' axis of classes; None: the last, and axis 1 of [N, C, H, W]."""

    @property
    def judging(self) -> Judging:
        """The judging: classes are right or wrong."""
        return CLASSES

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

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs [N, ...] by name, and a note or None."""
        place = place_of(list(outputs), self.output)
        found = replace(self, output=place)
        scores = taken(list(outputs.values()), place, self.name)
        if self.threshold is not None or not _is_single(scores):
            return found, None
        probable = _all_shares(scores)
        threshold = _PROBABILITY if probable else _LOGIT
        why = "all of them lie between 0 and 1" if probable else "they are no probabilities"
        note = (
            f"the model has one score an example: class 1 is predicted from {threshold:g} on, as {why} "
            "(metric.threshold sets another)"
        )
        return replace(found, threshold=threshold), note

    def probabilities(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float64] | None:
        """The probability of each class [..., C], classes last: the scores where they are probabilities, else what
        their softmax or sigmoid gives; None where the model gives classes, or another shape."""
        scores = taken(outputs, self.output, self.name)
        if scores.dtype.kind != "f" or scores.size == 0:
            return None
        from scipy.special import expit, softmax

        scores = scores.astype(np.float64)
        if _is_single(scores):
            single = scores.reshape(-1)
            one = single if self.threshold == _PROBABILITY or _all_shares(single) else expit(single)
            return np.stack([1 - one, one], -1)
        if not 0 < self._axis(scores) < scores.ndim:
            return None
        scores = np.moveaxis(scores, self._axis(scores), -1)
        return scores if are_probabilities(scores) else np.asarray(softmax(scores, axis=-1))

    def class_scores(self, outputs: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
        """The scores [..., C], classes last; None where there is one score an example, or another shape."""
        scores = taken(outputs, self.output, self.name)
        if _is_single(scores) or scores.ndim < 2 or not 0 < self._axis(scores) < scores.ndim:
            return None
        return np.moveaxis(scores, self._axis(scores), -1)

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


def are_probabilities(scores: NDArray[Any]) -> bool:
    """Whether scores [..., C] lie between 0 and 1 and add up to 1."""
    return _all_shares(scores) and bool(np.allclose(scores.sum(-1), 1, atol=_ROUNDING))


def _is_single(scores: NDArray[Any]) -> bool:
    """Whether there is one score an example."""
    return scores.dtype.kind == "f" and (scores.ndim == 1 or (scores.ndim == 2 and scores.shape[1] == 1))


def _all_shares(scores: NDArray[Any]) -> bool:
    return bool(((scores >= 0) & (scores <= 1)).all())
