"""A metric that a function of the user's own makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import labelled
from pipeline.errors import UserError
from pipeline.errors.user_code import user_code_error
from pipeline.libraries.installed import function_at
from pipeline.metrics.judging import Average, ByExample, Judging
from pipeline.metrics.outputs import place_of, taken
from pipeline.metrics.overall import Overall
from pipeline.metrics.scores import Predictions, Truth
from pipeline.results.intervals import Unit
from pipeline.statistics.overall import SHARE, Span

_SPANS: Mapping[Unit, Span] = {"percent": SHARE, "number": (-math.inf, math.inf), "error": (-math.inf, math.inf)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of your own that takes a model's output and the labels, both NumPy arrays [N, ...] of the same
    examples. It gives a value for each example, or one for all of them together."""

    name: ClassVar[str] = "own metric"
    function: str
    """The function's dotted path, such as ``my_package.my_module.my_metric``."""
    kind: Literal["per_example", "overall"] = "per_example"
    """Whether the function gives a value for each example [N], or one for all of them."""
    unit: Unit = "number"
    """``percent``: 0 to 1, and more is better. ``number``: more is better. ``error``: less is better."""
    output: int | str = 0
    """The output that the function is given, by its place or name."""

    @property
    def judging(self) -> Judging:
        """The judging: of a value for each example, or of one figure over them."""
        if self.kind == "overall":
            shares = self.unit == "percent"
            options: dict[str, Any] = {} if shares else {"rests_on": None}
            return Overall(figure=self._figure, unit=self.unit, span=_SPANS[self.unit], **options)
        if self.unit == "percent":
            return ByExample(scores=self._values, needs_labels=True)
        return Average(scores=self._values, unit=self.unit)

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The output itself."""
        return taken(outputs, self.output, self.name)

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name, and a note. Raises UserError where the function can't be
        imported."""
        self._imported()
        return replace(self, output=place_of(list(outputs), self.output)), f"the metric is {self.function}"

    def _values(self, predictions: Predictions, truth: Truth) -> NDArray[np.float64]:
        judged = labelled(truth).reshape(len(truth), -1).any(axis=1)
        found = self._called(predictions[judged], truth[judged])
        count = int(judged.sum())
        if found.shape != (count,):
            raise UserError(
                f"metric.function={self.function} must give a value for each of {count} examples, but gave "
                f"{list(found.shape)}: metric.kind=overall takes one value for all of them"
            )
        if self.unit == "percent" and count and not (found.min() >= 0 and found.max() <= 1):
            raise UserError(
                f"metric.function={self.function} gave {found.min():g} to {found.max():g}, and a value in percent lies "
                "between 0 and 1: type metric.unit=number, or metric.unit=error where less is better"
            )
        return found

    def _figure(self, predictions: Predictions, truth: Truth) -> float:
        found = self._called(predictions, truth)
        if found.size != 1:
            raise UserError(
                f"metric.function={self.function} must give one value for all examples, but gave {list(found.shape)}: "
                "metric.kind=per_example takes a value for each"
            )
        return float(found.reshape(()))

    def _called(self, predictions: Predictions, truth: Truth) -> NDArray[np.float64]:
        call = self._imported()
        try:
            found = np.asarray(call(predictions, truth), np.float64)
        except Exception as error:  # the user's own function raises what it likes
            raise UserError(f"metric.function={self.function} failed: {user_code_error(error)}") from error
        if not np.isfinite(found).all():
            raise UserError(f"metric.function={self.function} gave values that are not finite numbers")
        return found

    def _imported(self) -> Callable[..., Any]:
        return function_at(self.function, "metric.function")
