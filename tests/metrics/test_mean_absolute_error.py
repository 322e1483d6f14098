"""Mean absolute error: the figure, the sign of a change, and what it needs."""

import numpy as np
import pytest
from scipy.stats import bootstrap
from sklearn.metrics import mean_absolute_error

from pipeline.analyse import phrases
from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.mean_absolute_error import MeanAbsoluteError
from pipeline.plan import Constraints
from tests.metrics.judged import check_verdicts, judged, value

METRIC = MeanAbsoluteError()
RNG = np.random.default_rng(0)
LABELS = RNG.normal(20, 5, 600)
NEAR = (LABELS + RNG.normal(size=600)).astype(np.float32)[:, None]
FAR = (LABELS + 1.5 * RNG.normal(size=600)).astype(np.float32)[:, None]


def test_the_figure_is_scikit_learns() -> None:
    assert value(METRIC, NEAR, LABELS) == pytest.approx(mean_absolute_error(LABELS, NEAR))
    both = np.concatenate([NEAR, FAR], axis=1)
    labels = np.stack([LABELS, LABELS], axis=1)
    assert value(METRIC, both, labels) == pytest.approx(mean_absolute_error(labels, both))


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    check_verdicts(METRIC, NEAR, FAR, LABELS)


def test_a_rise_is_a_loss_with_the_bootstraps_interval_over_the_same_examples() -> None:
    found = judged(METRIC, NEAR, FAR, LABELS)
    rise = np.abs(FAR[:, 0] - LABELS) - np.abs(NEAR[:, 0] - LABELS)
    ends = bootstrap((rise,), np.mean, n_resamples=2000, rng=1).confidence_interval
    assert found.delta == pytest.approx(-rise.mean())
    assert (found.delta_low, found.delta_high) == pytest.approx((-ends.high, -ends.low), abs=0.01)
    assert (found.unit, found.merit) == ("error", -found.value)


def test_the_words_say_that_it_rises() -> None:
    slightly = NEAR + 0.4 * RNG.normal(size=NEAR.shape)
    found = judged(METRIC, NEAR, slightly, LABELS, Constraints(max_accuracy_drop=0.3))
    assert phrases.accuracy(found).startswith(
        "a small real rise of mean absolute error, within the margin (0.7615 to 0.8"
    )


def test_a_drop_that_is_allowed_is_a_part_of_the_baselines_error() -> None:
    baseline = value(METRIC, NEAR, LABELS)
    assert judged(METRIC, NEAR, FAR, LABELS).margin == pytest.approx(0.01 * baseline)
    allowed = judged(METRIC, NEAR, FAR, LABELS, Constraints(max_accuracy_drop=0.9))
    assert allowed.margin == pytest.approx(0.9 * baseline)
    assert allowed.verdict == "SMALL REAL DROP"


def test_no_difference_among_few_examples_proves_nothing() -> None:
    assert judged(METRIC, NEAR[:50], NEAR[:50], LABELS[:50]).verdict == "UNDECIDED"


def test_whole_labels_that_are_ignored_do_not_count() -> None:
    labels = np.array([IGNORED, 3, 5])
    judging = METRIC.judging
    truth = judging.labels(np.array([0.0, 3.5, 5.0]), labels)
    assert truth is not None
    assert judging.value(np.array([0.0, 3.5, 5.0]), truth) == 0.25


def test_another_number_of_labels_and_what_is_not_finite_are_refused() -> None:
    with pytest.raises(UserError, match=r"a label for each number that the model gives \[4, 2\], and the labels are"):
        METRIC.judging.value(np.zeros((4, 2)), np.zeros(4))
    with pytest.raises(UserError, match="needs finite numbers"):
        METRIC.predictions([np.array([np.inf, 1.0], np.float32)])
    with pytest.raises(UserError, match="to be numbers"):
        METRIC.predictions([np.array(["a", "b"])])
