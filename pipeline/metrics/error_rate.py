"""Error rates of texts: what the rates of words and of characters share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.metrics.judging import Judging
from pipeline.metrics.outputs import place_of, taken
from pipeline.metrics.overall import Overall
from pipeline.metrics.scores import Predictions, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRate:
    """The fewest substitutions, deletions and insertions that turn each text into its label, summed over the examples,
    over the length of the labels. Less is better."""

    name: ClassVar[str] = "error rate"
    output: int | str = 0
    """The output that holds the texts or token numbers, by its place or name."""

    @property
    def judging(self) -> Judging:
        """The judging: one figure over all examples; the longer a label, the more it counts."""
        return Overall(figure=_figure, prepare=self._errors, unit="error", span=(0.0, math.inf))

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Texts [N], or token numbers [N, L] as float64 with -1 behind the last; raises UserError for another
        shape."""
        found = taken(outputs, self.output, self.name)
        if found.dtype.kind in "USO" and found.size == len(found):
            return np.asarray(found.reshape(-1), np.str_)
        if found.dtype.kind in "iu" and found.ndim == 2:
            return np.asarray(np.maximum(found, -1), np.float64)
        raise UserError(
            f"metric '{self.name}' needs texts [examples] or token numbers [examples, tokens], but output "
            f"{self.output!r} is {found.dtype} {list(found.shape)}: type postprocessing=ctc for scores of a CTC model, "
            "or postprocessing=function model.postprocessing.function=my_package.my_function"
        )

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name, and no note. Raises UserError where rapidfuzz is not
        installed."""
        try:
            import rapidfuzz  # noqa: F401
        except ImportError as error:
            raise UserError(
                f"metric '{self.name}' needs rapidfuzz, which is not installed: install the extra metrics (pip install "
                "rapidfuzz)"
            ) from error
        return replace(self, output=place_of(list(outputs), self.output)), None

    @staticmethod
    def units(text: str) -> Sequence[str]:
        """What of a text is counted."""
        return text

    def _errors(self, predictions: Predictions, truth: Truth) -> NDArray[np.int64]:
        """The errors and the length of the label of each example [N, 2]."""
        from rapidfuzz.distance import Levenshtein

        if predictions.dtype.kind != truth.dtype.kind or predictions.ndim != truth.ndim:
            raise UserError(
                f"metric '{self.name}' needs labels of the form that is predicted, {predictions.dtype} "
                f"{list(predictions.shape)}, and the labels are {truth.dtype} {list(truth.shape)}: type "
                "data.label_kind=texts"
            )
        pairs = [(self._parts(own), self._parts(right)) for own, right in zip(predictions, truth, strict=True)]
        return np.array([(Levenshtein.distance(own, right), len(right)) for own, right in pairs], np.int64)

    def _parts(self, example: Any) -> Sequence[Any]:
        return self.units(example) if isinstance(example, str) else example[example >= 0].tolist()


def _figure(errors: NDArray[np.int64], truth: Truth) -> float:
    wrong, length = errors.sum(axis=0)
    return float(wrong / max(length, 1))
