"""Judges predictions against the truth, and tells the figure in its unit and words. There are four ways: ``ByExample``
(each example is right, wrong or partly right), ``Average`` (each example has a value of any size), ``Similarity`` (each
example is more or less like the baseline's), ``Overall`` (one figure over all examples, such as F1). A metric carries
one as its ``judging``; for a metric without one the type of its predictions decides.

``unit`` also says whether less of the figure is better (``gain_sign``). A change is a gain whatever the unit: below 0
is worse, so that one set of verdicts serves all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.data.labels import as_numbers
from pipeline.errors import UserError
from pipeline.metrics.scores import Predictions, Truth, cosines, right_shares
from pipeline.plan import Metric
from pipeline.results.intervals import AccuracyVerdict, Unit, gain_sign
from pipeline.statistics.accuracy import (
    PairedDifference,
    Proportion,
    accuracy_verdict,
    change_of_shares,
    mean_change,
    mean_interval,
    share_interval,
    similarity_verdict,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """The name and the sentence of a figure that comes from the baseline's predictions in place of labels."""

    name: str
    """The metric's name in this case."""
    sentence: str
    """The sentence of the figure, with ``{}`` in its place: ``the baseline's answer on {} of the examples``."""


class Judging(Protocol):
    """A way to judge predictions. Examples whose labels are all ``IGNORED`` do not count."""

    @property
    def unit(self) -> Unit:
        """The unit in which a figure is written."""
        ...

    @property
    def needs_labels(self) -> bool:
        """Whether nothing can be judged without labels."""
        ...

    @property
    def beside_baseline(self) -> Wording | None:
        """The words where the baseline's predictions are the truth; None: the metric's name is enough."""
        ...

    def labels(self, predictions: Predictions, labels: NDArray[Any] | None) -> Truth | None:
        """The labels that judge these predictions; None: the baseline's predictions judge them. Raises UserError where
        labels are needed and there are none."""
        ...

    def value(self, predictions: Predictions, truth: Truth) -> float:
        """The figure as it is written: 1 is the best, or 0 of an ``error``."""
        ...

    def estimate(self, predictions: Predictions, truth: Truth) -> Proportion | None:
        """The figure with its interval; None where there is no example to judge."""
        ...

    def change(self, after: Predictions, before: Predictions, truth: Truth) -> PairedDifference:
        """The gain from ``before`` to ``after`` on the same examples: below 0 is worse, whatever the unit."""
        ...

    def shortfall(self, predictions: Predictions, truth: Truth, estimate: Proportion) -> PairedDifference:
        """The gain over the truth itself, the baseline's predictions; ``estimate`` is the figure."""
        ...

    def verdict(self, change: PairedDifference, margin: float) -> AccuracyVerdict:
        """The verdict of a change on a drop of ``margin``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ByExample:
    """The mean of how right each example is: Wilson's and Tango's intervals and McNemar's test where all are right or
    wrong, else the bootstrap over the examples.

    Labels judge the predictions where both have the same shape, or always if ``needs_labels``.
    """

    scores: Callable[[Predictions, Truth], NDArray[np.float64]]
    """How right each of N examples is, 0 to 1, without the examples whose labels are all ``IGNORED``."""
    unit: Unit = "percent"
    needs_labels: bool = False
    beside_baseline: Wording | None = None

    def labels(self, predictions: Predictions, labels: NDArray[Any] | None) -> Truth | None:
        """The labels that are used; raises UserError where they are needed and there are none."""
        if self.needs_labels:
            return needed(predictions, labels)
        if labels is None or labels.shape[1:] != predictions.shape[1:]:
            return None
        return labels[: len(predictions)]

    def value(self, predictions: Predictions, truth: Truth) -> float:
        """The mean of how right each example is."""
        return float(self.scores(predictions, truth).mean())

    def estimate(self, predictions: Predictions, truth: Truth) -> Proportion | None:
        """The mean with its interval."""
        right = self.scores(predictions, truth)
        return share_interval(right) if len(right) else None

    def change(self, after: Predictions, before: Predictions, truth: Truth) -> PairedDifference:
        """The difference of two such means."""
        return change_of_shares(self.scores(after, truth), self.scores(before, truth))

    def shortfall(self, predictions: Predictions, truth: Truth, estimate: Proportion) -> PairedDifference:
        """The mean less the mean of the truth itself."""
        return self.change(predictions, truth, truth)

    def verdict(self, change: PairedDifference, margin: float) -> AccuracyVerdict:
        """The verdict by the interval of the difference."""
        return accuracy_verdict(change.low, change.high, margin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """The mean of how alike each example's prediction is to the baseline's, with the bootstrap over the examples.
    Labels are not used. A similarity is below 1 as soon as anything differs at all."""

    scores: Callable[[Predictions, Truth], NDArray[np.float64]]
    """The similarity of each of N examples, 1 where both are the same."""
    unit: Unit = "number"
    needs_labels: bool = False
    beside_baseline: Wording | None = None

    def labels(self, predictions: Predictions, labels: NDArray[Any] | None) -> Truth | None:
        """None, because labels are not used."""
        return None

    def value(self, predictions: Predictions, truth: Truth) -> float:
        """The mean over the examples."""
        return float(self.scores(predictions, truth).mean())

    def estimate(self, predictions: Predictions, truth: Truth) -> Proportion | None:
        """The mean with its interval."""
        return mean_interval(self.scores(predictions, truth))

    def change(self, after: Predictions, before: Predictions, truth: Truth) -> PairedDifference:
        """The difference of two such means."""
        mean = mean_interval(self.scores(after, truth) - self.scores(before, truth))
        return PairedDifference(value=mean.value, low=mean.low, high=mean.high, flips=None, n=mean.n, p=None)

    def shortfall(self, predictions: Predictions, truth: Truth, estimate: Proportion) -> PairedDifference:
        """How much the mean lacks to 1."""
        return PairedDifference(
            value=estimate.value - 1, low=estimate.low - 1, high=estimate.high - 1, flips=None, n=estimate.n, p=None
        )

    def verdict(self, change: PairedDifference, margin: float) -> AccuracyVerdict:
        """The verdict by the interval of what is missing to 1."""
        return similarity_verdict(change.low, change.high, margin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Average:
    """The mean of a value of each example, whatever its range, such as how far it is from its label: the bootstrap over
    the examples. Labels are needed."""

    scores: Callable[[Predictions, Truth], NDArray[np.float64]]
    """The value of each of N examples, without the examples that have no label."""
    unit: Unit = "error"
    numbers: bool = False
    """Whether labels are numbers to be met, and no classes (``as_numbers``)."""
    needs_labels: bool = True
    beside_baseline: Wording | None = None

    def labels(self, predictions: Predictions, labels: NDArray[Any] | None) -> Truth | None:
        """The labels; raises UserError where there are none."""
        return needed(predictions, labels, numbers=self.numbers)

    def value(self, predictions: Predictions, truth: Truth) -> float:
        """The mean over the examples."""
        return float(self.scores(predictions, truth).mean())

    def estimate(self, predictions: Predictions, truth: Truth) -> Proportion | None:
        """The mean with its interval."""
        values = self.scores(predictions, truth)
        return mean_interval(values) if len(values) else None

    def change(self, after: Predictions, before: Predictions, truth: Truth) -> PairedDifference:
        """The gain of the mean."""
        sign = gain_sign(self.unit)
        return mean_change(sign * self.scores(after, truth), sign * self.scores(before, truth))

    def shortfall(self, predictions: Predictions, truth: Truth, estimate: Proportion) -> PairedDifference:
        """The gain over the truth itself."""
        return self.change(predictions, truth, truth)

    def verdict(self, change: PairedDifference, margin: float) -> AccuracyVerdict:
        """The verdict by the interval of the gain."""
        return accuracy_verdict(change.low, change.high, margin)


CLASSES = ByExample(
    scores=right_shares,
    beside_baseline=Wording(name="agreement", sentence="the baseline's answer on {} of the examples"),
)
"""The judging of whole numbers: classes, right or wrong."""
VECTORS = Similarity(
    scores=cosines,
    beside_baseline=Wording(name="cosine", sentence="a mean cosine of {} to the baseline's outputs"),
)
"""The judging of other numbers: vectors, by their cosine to the baseline's."""


def judging_of(metric: Metric | None, predictions: Predictions) -> Judging:
    """A metric's own judging; where it has none, the judging that the type of its predictions calls for."""
    own: Judging | None = getattr(metric, "judging", None)
    return own or (CLASSES if in_classes(predictions) else VECTORS)


def in_classes(predictions: Predictions) -> bool:
    """Whether predictions are whole numbers, and so classes."""
    return predictions.dtype.kind in "iub"


def merit(judging: Judging, predictions: Predictions, truth: Truth) -> float:
    """The figure where more of it is better, else its negative: the largest is the best."""
    return gain_sign(judging.unit) * judging.value(predictions, truth)


def scale_of(judging: Judging, figure: float) -> float:
    """The size that a share of a figure is taken of: 1, and for an error, which nothing bounds, the figure itself."""
    return abs(figure) if gain_sign(judging.unit) < 0 else 1.0


def needed(predictions: Predictions, labels: NDArray[Any] | None, *, numbers: bool = False) -> Truth:
    """The labels of these predictions, as ``numbers`` or as they are; raises UserError where there are none."""
    if labels is None:
        raise UserError("the metric needs labels, and the data has none: metric=top_one and metric=cosine need none")
    own = labels[: len(predictions)]
    return as_numbers(own) if numbers else own
