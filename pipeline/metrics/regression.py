"""Reads a model's numbers that are to meet labels that are numbers: what the metrics for regression share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.metrics.outputs import place_of, taken
from pipeline.metrics.scores import Predictions, Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A metric that holds a model's numbers against labels that are numbers."""

    name: ClassVar[str] = "regression"
    output: int | str = 0
    """The output that holds the numbers, by its place or name."""

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """The numbers [N] of an output [N] or [N, 1], or [N, ...]; raises UserError where the output holds none, or
        some that are not finite."""
        found = taken(outputs, self.output, self.name)
        if found.ndim == 0 or found.size == 0 or found.dtype.kind not in "iuf":
            raise UserError(
                f"metric '{self.name}' needs output {self.output!r} to be numbers [examples] or [examples, size], but "
                f"it is {found.dtype} {list(found.shape)}: name another with metric.output"
            )
        if not np.isfinite(found).all():
            raise UserError(f"metric '{self.name}' needs finite numbers, and output {self.output!r} has others")
        numbers = found.astype(np.float64)
        return numbers[:, 0] if numbers.ndim == 2 and numbers.shape[1] == 1 else numbers

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name, and no note."""
        return replace(self, output=place_of(list(outputs), self.output)), None


def check_labels(name: str, predictions: Predictions, truth: Truth) -> None:
    """Raise UserError where there is not a label for each number."""
    if predictions.shape != truth.shape:
        raise UserError(
            f"metric '{name}' needs a label for each number that the model gives {list(predictions.shape)}, and the "
            f"labels are {list(truth.shape)}: give others, or name another output with metric.output"
        )


def columns(predictions: Predictions, truth: Truth) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The numbers and the labels of each output of a model that gives several an example, without what has no label."""
    numbers, labels = (array.reshape(len(array), -1) for array in (predictions, truth))
    for own, right in zip(numbers.T, labels.T, strict=True):
        given = ~np.isnan(right)
        yield own[given], right[given]


def correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Pearson's correlation; 0 where either does not vary."""
    if len(first) < 2:
        return 0.0
    one, two = first - first.mean(), second - second.mean()
    lengths = float(np.sqrt((one @ one) * (two @ two)))
    return float(np.clip(one @ two / lengths, -1.0, 1.0)) if lengths > 0 else 0.0
