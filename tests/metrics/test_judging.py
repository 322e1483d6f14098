"""What a metric says of its figures, and how it comes back from a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.analyse import phrases
from pipeline.analyse.accuracy import accuracies
from pipeline.errors import SlimlineError
from pipeline.metrics import ByExample, Cosine, Judging, Overall, TopOne, class_path, fields_of, recorded_metric
from pipeline.metrics.top_one import NO_PREDICTION
from pipeline.plan import Constraints, MeasureSettings, Metric
from pipeline.results.figures import Accuracy
from pipeline.results.record import AccuracySamples
from pipeline.statistics.accuracy import exact_mcnemar, paired_difference


@dataclass(frozen=True, kw_only=True)
class TopFew:
    """Whether the label is among the classes with the highest scores."""

    name: ClassVar[str] = "top few"
    few: int = 2

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        return outputs[0].argsort(axis=1)[:, -self.few :]

    @property
    def judging(self) -> Judging:
        return ByExample(scores=_among, needs_labels=True)


def _among(predictions: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    found: NDArray[np.bool_] = (predictions == truth[:, None]).any(axis=1)
    return found.astype(np.float64)


def _judged(
    metric: Metric, baseline: NDArray[Any], other: NDArray[Any], labels: NDArray[np.int64] | None = None
) -> Accuracy:
    samples = AccuracySamples(
        labels=labels,
        predictions={"baseline@ort_cpu": baseline, "other@ort_cpu": other},
        metric=metric.name,
        metric_class=class_path(metric),
        metric_fields=fields_of(metric),
    )
    return accuracies(samples, Constraints(), MeasureSettings())["other@ort_cpu"]


def test_a_metric_that_scores_each_example_has_the_tests_of_paired_proportions() -> None:
    labels = np.zeros(500, np.int64)
    baseline, other = np.tile([1, 0], (500, 1)), np.tile([1, 0], (500, 1))
    baseline[:10], other[4:40] = [1, 2], [2, 1]
    found = _judged(TopFew(), baseline, other, labels)
    expected = paired_difference(4, 30, 500)
    assert (found.value, found.delta, found.flips) == (464 / 500, expected.value, 34)
    assert (found.delta_low, found.delta_high, found.p) == (expected.low, expected.high, exact_mcnemar(4, 30))
    assert phrases.accuracy(found) == "top few FAILS MARGIN (98.00 % to 92.80 %)"


def test_a_figure_beside_the_baseline_says_what_it_is() -> None:
    classes, vectors = np.arange(1000) % 7, np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    changed = np.where(np.arange(1000) < 4, NO_PREDICTION, classes)
    agreement, cosine = _judged(TopOne(), classes, changed), _judged(Cosine(), vectors, vectors)
    assert phrases.accuracy(agreement) == "the baseline's answer on 99.60 % of the examples"
    assert phrases.accuracy(cosine) == "a mean cosine of 1.0000 to the baseline's outputs"
    assert [(found.metric, found.unit, found.against) for found in (agreement, cosine)] == [
        ("agreement", "percent", "baseline"),
        ("cosine", "number", "baseline"),
    ]


def _recorded(path: str | None, **values: Any) -> Metric | None:
    return recorded_metric(
        AccuracySamples(labels=None, predictions={}, metric="m", metric_class=path, metric_fields=values)
    )


def test_a_metric_is_recorded_by_the_path_that_a_configuration_types() -> None:
    metric = TopOne(output=1, threshold=0.25)
    assert class_path(metric) == "pipeline.metrics.TopOne"
    assert _recorded(class_path(metric), **fields_of(metric)) == metric


def test_a_record_without_a_class_goes_by_the_type_of_the_predictions() -> None:
    assert _recorded(None) is None


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("gone_metrics.F1", "there is no module 'gone_metrics'"),
        ("pathlib.Path", "it is no metric with a judging"),
        ("pipeline.metrics.TopOne", "unexpected keyword argument 'positive'"),
    ],
)
def test_a_metric_that_can_not_be_made_again_says_why(path: str, why: str) -> None:
    with pytest.raises(SlimlineError, match=f"judged by {path}, which can't be made here: .*{why}"):
        _recorded(path, positive=1)


def test_a_figure_that_is_no_share_is_refused() -> None:
    labels = np.arange(20)
    distance = Overall(figure=lambda predictions, truth: float(np.abs(predictions - truth).mean()))
    with pytest.raises(SlimlineError, match="the metric's figure is 3, and it must lie between 0 and 1"):
        distance.estimate(labels + 3, labels)
