"""average precision: the figure, the change, and what it needs."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import label_binarize

from pipeline.errors import UserError
from pipeline.metrics.average_precision import AveragePrecision
from tests.metrics.judged import check_verdicts, class_scores, value

METRIC = AveragePrecision()
BINARY = np.random.default_rng(0).choice(2, 700, p=[0.6, 0.4])
SEVERAL = np.random.default_rng(0).choice(4, 700, p=[0.4, 0.3, 0.2, 0.1])


def test_the_figure_of_class_1_is_scikit_learns_ties_included() -> None:
    scores = class_scores(BINARY, 2, 1.0, binary=True).round(1)
    assert value(METRIC, scores, BINARY) == pytest.approx(average_precision_score(BINARY, scores[:, 0]))
    both = np.concatenate([-scores / 2, scores / 2], axis=1)
    assert value(METRIC, both, BINARY) == pytest.approx(average_precision_score(BINARY, scores[:, 0]))


def test_the_mean_over_several_classes_is_scikit_learns() -> None:
    scores = class_scores(SEVERAL, 4, 1.0)
    shares = softmax(scores.astype(np.float64), axis=1)
    expected = average_precision_score(label_binarize(SEVERAL, classes=range(4)), shares, average="macro")
    assert value(METRIC, scores, SEVERAL) == pytest.approx(expected, abs=1e-6)
    assert value(METRIC, shares, SEVERAL) == pytest.approx(expected, abs=1e-6)


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    better, worse = (class_scores(BINARY, 2, signal, binary=True) for signal in (2.0, 1.0))
    check_verdicts(METRIC, better, worse, BINARY)


def test_classes_and_what_is_not_a_number_are_no_scores() -> None:
    with pytest.raises(UserError, match=r"to be scores \[examples, classes\] or one score an example"):
        METRIC.predictions([np.array([0, 1, 1])])
    with pytest.raises(UserError, match="needs scores that are finite numbers"):
        METRIC.predictions([np.array([0.5, np.nan], np.float32)])


def test_labels_that_are_no_class_of_the_model_are_refused() -> None:
    scores = METRIC.predictions([class_scores(BINARY, 2, 1.0)])
    with pytest.raises(UserError, match="needs one class number an example, 0 to 1"):
        METRIC.judging.value(scores, BINARY + 1)
