"""Recall at k for embeddings: whether an example's nearest neighbours have one of its own label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Count
from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.cosine import vectors_of
from pipeline.metrics.judging import ByExample, Judging
from pipeline.metrics.outputs import place_of
from pipeline.metrics.scores import Predictions, Truth

_TOGETHER = 1_000
"""How many examples are compared with all others at once: this bounds the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallAtK:
    """Whether the k nearest of all other examples, by cosine, have one with the same label; labels are needed.

    An example whose label no other example has is left out. Source: Jégou et al. 2011, "Product quantization for
    nearest neighbor search".
    """

    name: ClassVar[str] = "recall at k"
    k: Count = 1
    """How many neighbours are looked at."""
    output: int | str = 0
    """The output that holds the embeddings, by its place or name."""

    @property
    def judging(self) -> Judging:
        """The judging: each example's search finds one or does not."""
        return ByExample(scores=self._finds, needs_labels=True)

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """The output [N, ...] as one vector [N, D] an example; raises UserError where the output holds no numbers."""
        return vectors_of(outputs, self.output, self.name)

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name, and a note."""
        note = f"an example is right where its {self.k} nearest neighbours have one with its label (metric.k)"
        return replace(self, output=place_of(list(outputs), self.output)), note

    def _finds(self, predictions: Predictions, truth: Truth) -> NDArray[np.float64]:
        if truth.shape != predictions.shape[:1] or truth.dtype.kind == "f":
            raise UserError(
                f"metric '{self.name}' needs one class number an example (the same number: relevant), and the labels "
                f"are {truth.dtype} {list(truth.shape)}"
            )
        judged = truth != IGNORED
        labels, vectors = truth[judged], _directions(predictions[judged])
        counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
        queries = np.flatnonzero([counts[label] > 1 for label in labels])
        parts = [queries[start : start + _TOGETHER] for start in range(0, len(queries), _TOGETHER)]
        found = [self._found(vectors, labels, part) for part in parts]
        return np.concatenate(found) if found else np.empty(0)

    def _found(self, vectors: NDArray[np.float32], labels: Truth, queries: NDArray[np.intp]) -> NDArray[np.float64]:
        alike = vectors[queries] @ vectors.T
        alike[np.arange(len(queries)), queries] = -np.inf
        k = min(self.k, len(vectors) - 1)
        nearest = np.argpartition(-alike, k - 1, axis=1)[:, :k]
        return np.asarray((labels[nearest] == labels[queries, None]).any(axis=1), np.float64)


def _directions(vectors: Predictions) -> NDArray[np.float32]:
    """The vectors at length 1; one of zeros, or with a value that is not finite, becomes zeros."""
    found = np.nan_to_num(vectors.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(np.divide(found, lengths, out=np.zeros_like(found), where=lengths > 0))
