"""F1: the figure, its interval, and what it needs."""

from typing import Literal

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import f1_score

from pipeline.analyse.accuracy import accuracies
from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics import class_path, fields_of, recorded_metric
from pipeline.metrics.f1 import F1
from pipeline.plan import Constraints, MeasureSettings
from pipeline.results.figures import Accuracy
from pipeline.results.record import AccuracySamples
from pipeline.statistics.accuracy import wilson
from tests.metrics.judged import check_verdicts, class_scores, value

METRIC = F1(output=0, positive=1)
LABELS = np.random.default_rng(0).choice(4, 700, p=[0.4, 0.3, 0.2, 0.1])


def _value(predictions: list[int], labels: list[int]) -> float:
    return METRIC.judging.value(np.array(predictions), np.array(labels))


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    assert _value([1, 1, 1, 0, 0, 2], [1, 1, 0, 1, 0, 1]) == pytest.approx(2 / (1 / (2 / 3) + 1 / (2 / 4)))


def test_a_class_that_neither_occurs_nor_is_predicted_has_an_f1_of_0() -> None:
    assert _value([0, 2], [2, 0]) == 0


def test_what_is_ignored_does_not_count() -> None:
    assert _value([1, 1, 1], [1, IGNORED, 0]) == _value([1, 1], [1, 0])


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_the_average_over_classes_is_scikit_learns(average: Literal["macro", "micro"]) -> None:
    scores = class_scores(LABELS, 4, 1.0)
    expected = f1_score(LABELS, scores.argmax(1), average=average)
    assert value(F1(average=average), scores, LABELS) == pytest.approx(expected)


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_a_worse_average_is_found_worse_and_an_equal_one_is_not(average: Literal["macro", "micro"]) -> None:
    check_verdicts(F1(average=average), class_scores(LABELS, 4, 3.0), class_scores(LABELS, 4, 2.0), LABELS)


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"a class number for each class that is told \[2\], and the labels are .*2, 3"):
        METRIC.judging.value(np.zeros(2, np.int64), np.zeros((2, 3), np.int64))


def test_a_class_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"metric\.positive=3 is no class of the model, which has 0 to 2"):
        F1(positive=3).fitted({"y": np.zeros((4, 3), np.float32)})


def _samples(wrong: float, examples: int, *, positives: float = 0.3) -> AccuracySamples:
    rng = np.random.default_rng(0)
    labels = (rng.random(examples) < positives).astype(np.int64)
    baseline = np.where(rng.random(examples) < 0.1, 1 - labels, labels)
    other = np.where(rng.random(examples) < wrong, 1 - baseline, baseline)
    return AccuracySamples(
        labels=labels,
        predictions={"baseline@ort_cpu": baseline, "other@ort_cpu": other},
        metric=METRIC.name,
        metric_class=class_path(METRIC),
        metric_fields=fields_of(METRIC),
    )


def _found(samples: AccuracySamples) -> Accuracy:
    return accuracies(samples, Constraints(), MeasureSettings())["other@ort_cpu"]


def test_the_change_is_judged_by_a_bootstrap_over_the_same_examples_of_both_models() -> None:
    samples = _samples(0.1, 1000)
    labels, (baseline, other) = samples.labels, samples.predictions.values()
    assert labels is not None

    def difference(truth: np.ndarray, mine: np.ndarray, theirs: np.ndarray) -> float:
        return float(
            2 * (truth & mine).sum() / (truth.sum() + mine.sum())
            - 2 * (truth & theirs).sum() / (truth.sum() + theirs.sum())
        )

    paired = bootstrap(
        (labels, other, baseline), difference, paired=True, vectorized=False, n_resamples=2000, rng=1
    ).confidence_interval
    found = _found(samples)
    assert found.delta == pytest.approx(difference(labels, other, baseline))
    assert (found.delta_low, found.delta_high) == pytest.approx((paired.low, paired.high), abs=0.01)
    assert found.low < found.value < found.high
    assert (found.metric, found.verdict, found.flips, found.p) == ("F1", "FAILS MARGIN", None, None)


@pytest.mark.parametrize(("examples", "verdict"), [(40, "UNDECIDED"), (5_000, "NO MEANINGFUL DROP")])
def test_no_difference_among_few_examples_proves_nothing(examples: int, verdict: str) -> None:
    found = _found(_samples(0.0, examples))
    assert found.delta == 0
    assert found.verdict == verdict


def test_the_interval_of_no_difference_is_as_wide_as_the_examples_of_the_class_are_few() -> None:
    samples = _samples(0.0, 1000, positives=0.02)
    labels, predictions = samples.labels, samples.predictions["other@ort_cpu"]
    assert labels is not None
    rests_on = int(((labels == 1) | (predictions == 1)).sum())
    assert _found(samples).delta_high == pytest.approx(wilson(0, rests_on).high)


def test_a_metric_comes_back_from_its_record() -> None:
    samples = _samples(0.0, 40)
    assert samples.metric_class == "pipeline.metrics.f1.F1"
    assert recorded_metric(samples) == METRIC
