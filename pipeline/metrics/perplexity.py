"""Perplexity: how surprised a language model is by the right tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from pipeline.data.dataset import labelled
from pipeline.errors import UserError
from pipeline.metrics.judging import Judging
from pipeline.metrics.overall import Overall
from pipeline.metrics.scores import Predictions, Truth
from pipeline.metrics.top_one import TopOne, are_probabilities

_LEAST = 1e-30
"""Probabilities are kept this far from 0: their logarithm has to be finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity(TopOne):
    """The exponential of the mean negative log-likelihood of the labels, over the labelled tokens of all examples. Less
    is better, and labels [N, T] are needed: each is the token that the scores beside it tell.

    ``output`` and ``axis`` say where the scores [N, T, C] are, as for TopOne. All of them are recorded.
    Source: Jelinek et al. 1977, "Perplexity: a measure of the difficulty of speech recognition tasks".
    """

    name: ClassVar[str] = "perplexity"

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all tokens; an example is one cluster of them, and each moves the figure."""
        return Overall(figure=_figure, prepare=self._surprises, rests_on=None, unit="error", span=(1.0, math.inf))

    def told(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        """The most likely class [N, ...]."""
        return TopOne.predictions(self, outputs)

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The logarithm of each class's probability [N, ..., C]; raises UserError for another shape, and for scores
        that are not finite."""
        scores = self.class_scores(outputs)
        if scores is None or scores.shape[-1] < 2 or scores.dtype.kind != "f":
            shape = list(np.shape(outputs[0])) if outputs else []
            raise UserError(
                f"metric '{self.name}' needs output {self.output!r} to be scores [examples, tokens, classes], but the "
                f"first output's shape is {shape}: name another with metric.output"
            )
        if not np.isfinite(scores).all():
            raise UserError(f"metric '{self.name}' needs scores that are finite numbers, and some are not")
        exact = scores.astype(np.float64)
        likely = np.log(np.maximum(exact, _LEAST)) if are_probabilities(exact) else log_softmax(exact, axis=-1)
        return np.asarray(likely, np.float32)

    def _surprises(self, predictions: Predictions, truth: Truth) -> NDArray[np.float64]:
        """The sum of each example's negative log-likelihoods, and the number of its labelled tokens [N, 2]."""
        if predictions.shape[:-1] != truth.shape or truth.dtype.kind == "f":
            raise UserError(
                f"metric '{self.name}' needs a class number for each token {list(predictions.shape[:-1])}, and the "
                f"labels are {truth.dtype} {list(truth.shape)}"
            )
        judged = labelled(truth)
        right = np.take_along_axis(predictions, np.where(judged, truth, 0)[..., None], axis=-1)[..., 0]
        parts = tuple(range(1, truth.ndim))
        sums = -np.where(judged, right, 0.0).sum(axis=parts, dtype=np.float64)
        return np.stack([sums, judged.sum(axis=parts)], axis=1)


def _figure(surprises: NDArray[Any], truth: Truth) -> float:
    total, tokens = surprises.sum(axis=0)
    return float(np.exp(total / tokens)) if tokens else 1.0
