"""Judges by one figure over all examples together, such as F1 or the area under a curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import labelled
from pipeline.errors import SlimlineError
from pipeline.metrics.judging import Wording, needed
from pipeline.metrics.scores import Predictions, Truth
from pipeline.results.intervals import AccuracyVerdict, Unit, gain_sign
from pipeline.statistics.accuracy import PairedDifference, Proportion, accuracy_verdict
from pipeline.statistics.overall import SHARE, Span, figure_change, figure_interval


def _as_they_are(predictions: Predictions, truth: Truth) -> NDArray[Any]:
    return predictions


def _all(predictions: Predictions, truth: Truth) -> int:
    return len(truth)


def _nothing(rows: NDArray[np.intp]) -> float:
    """What the same predictions gain."""
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """One figure over all examples together, such as F1, with the bootstrap over the examples, the same for both
    models. The figure needs labels."""

    figure: Callable[[Predictions, Truth], float]
    """The function that gives the figure from predictions, as ``prepare`` leaves them, and labels [N, ...] of the same
    examples; 1 is the best, or 0 of an ``error``. It must bear any sample of the examples, and labels that are
    ``IGNORED`` within an example."""
    prepare: Callable[[Predictions, Truth], NDArray[Any]] = _as_they_are
    """The function that makes of each prediction what the figure reads [N, ...]. It is called once, and the figure for
    each of some thousand samples, so what costs time belongs here."""
    rests_on: Callable[[Predictions, Truth], int] | None = _all
    """How many examples can change the figure: the fewer, the less a sample without any error proves. None: each
    example changes it, however little its output changes."""
    unit: Unit = "percent"
    span: Span = SHARE
    """The range of the figure."""
    numbers: bool = False
    """Whether labels are numbers to be met, and no classes (``as_numbers``)."""
    needs_labels: bool = True
    beside_baseline: Wording | None = None

    def labels(self, predictions: Predictions, labels: NDArray[Any] | None) -> Truth | None:
        """The labels; raises UserError where there are none."""
        return needed(predictions, labels, numbers=self.numbers)

    def value(self, predictions: Predictions, truth: Truth) -> float:
        """The figure."""
        return float(self.figure(self.prepare(predictions, truth), truth))

    def estimate(self, predictions: Predictions, truth: Truth) -> Proportion | None:
        """The figure with its interval; raises SlimlineError where it does not lie in its range."""
        judged = _judged(truth)
        if not judged.any():
            return None
        mine, right = predictions[judged], truth[judged]
        ready = self.prepare(mine, right)
        found = figure_interval(
            lambda rows: self.figure(ready[rows], right[rows]), len(right), self._rests_on(mine, right), span=self.span
        )
        low, high = self.span
        if not low <= found.value <= high:
            best = "" if gain_sign(self.unit) < 0 else " (the best)"
            raise SlimlineError(
                f"the metric's figure is {found.value:g}, and it must lie between {low:g} and {high:g}{best}"
            )
        return found

    def change(self, after: Predictions, before: Predictions, truth: Truth) -> PairedDifference:
        """The gain of the figure."""
        judged = _judged(truth)
        mine, other, right = (array[judged] for array in (after, before, truth))
        now, then = self.prepare(mine, right), self.prepare(other, right)
        sign = gain_sign(self.unit)
        counts = [count for each in (mine, other) if (count := self._rests_on(each, right)) is not None]

        def gain(rows: NDArray[np.intp]) -> float:
            return sign * (self.figure(now[rows], right[rows]) - self.figure(then[rows], right[rows]))

        return figure_change(
            _nothing if np.array_equal(now, then) else gain,
            len(right),
            min(counts, default=None),
            span=self.span,
            scale=1.0 if np.isfinite(self.span).all() else abs(self.figure(then, right)),
        )

    def shortfall(self, predictions: Predictions, truth: Truth, estimate: Proportion) -> PairedDifference:
        """The figure less the figure of the truth itself."""
        return self.change(predictions, truth, truth)

    def verdict(self, change: PairedDifference, margin: float) -> AccuracyVerdict:
        """The verdict by the interval of the gain."""
        return accuracy_verdict(change.low, change.high, margin)

    def _rests_on(self, predictions: Predictions, truth: Truth) -> int | None:
        return None if self.rests_on is None else self.rests_on(predictions, truth)


def _judged(truth: Truth) -> NDArray[np.bool_]:
    """Which examples [N] have anything to judge."""
    found: NDArray[np.bool_] = np.asarray(labelled(truth).reshape(len(truth), -1).any(axis=1))
    return found
