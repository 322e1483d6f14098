"""Judges two models' outputs as a run does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.analyse.accuracy import accuracies
from pipeline.metrics import class_path, fields_of, judging_of, recorded_metric
from pipeline.plan import Constraints, MeasureSettings, Metric
from pipeline.results.figures import Accuracy
from pipeline.results.record import AccuracySamples

Array = NDArray[Any]


def judged(
    metric: Metric, baseline: Array, other: Array, labels: Array, constraints: Constraints | None = None
) -> Accuracy:
    """The accuracy of a variant with the output ``other``."""
    return all_judged(metric, labels, constraints, baseline=baseline, other=other)["other"]


def all_judged(
    metric: Metric, labels: Array, constraints: Constraints | None = None, **outputs: Array
) -> dict[str, Accuracy]:
    """The accuracy of each variant by its output, by a metric that has gone through a record."""
    samples = AccuracySamples(
        labels=labels,
        predictions={f"{name}@ort_cpu": metric.predictions([output]) for name, output in outputs.items()},
        metric=metric.name,
        metric_class=class_path(metric),
        metric_fields=fields_of(metric),
    )
    assert recorded_metric(samples) == metric
    found = accuracies(samples, constraints or Constraints(), MeasureSettings())
    return {key.partition("@")[0]: accuracy for key, accuracy in found.items()}


def value(metric: Metric, output: Array, labels: Array) -> float:
    """The metric's figure of one output."""
    predictions = metric.predictions([output])
    judging = judging_of(metric, predictions)
    truth = judging.labels(predictions, labels)
    assert truth is not None
    return judging.value(predictions, truth)


def check_verdicts(metric: Metric, baseline: Array, worse: Array, labels: Array) -> None:
    """A worse model is found worse and a better one better, with intervals that hold the change; an equal one is
    neither."""
    rows = all_judged(metric, labels, baseline=baseline, worse=worse, same=baseline)
    found, same = rows["worse"], rows["same"]
    assert found.delta is not None
    assert found.delta_low is not None
    assert found.delta_high is not None
    assert found.verdict == "FAILS MARGIN"
    assert found.delta_low <= found.delta <= found.delta_high < 0
    assert found.low <= found.value <= found.high
    assert found.before == value_of_baseline(metric, baseline, labels)
    back = judged(metric, worse, baseline, labels)
    assert (back.verdict, back.delta) == ("IMPROVED", -found.delta)
    assert (same.delta, same.verdict) == (0, "NO MEANINGFUL DROP")


def value_of_baseline(metric: Metric, baseline: Array, labels: Array) -> Any:
    """The baseline's figure, to rounding."""
    return pytest.approx(value(metric, baseline, labels))


def class_scores(
    labels: NDArray[np.int64], classes: int, signal: float, seed: int = 0, *, binary: bool = False
) -> NDArray[np.float32]:
    """Logits [N, C] that tell the labels the better the larger ``signal`` is; one column [N, 1] if ``binary``."""
    noise = np.random.default_rng(seed).normal(size=(*labels.shape, classes))
    noise[np.arange(classes) == labels[..., None]] += signal
    scores = noise.astype(np.float32)
    return scores[..., 1:] - scores[..., :1] if binary else scores
