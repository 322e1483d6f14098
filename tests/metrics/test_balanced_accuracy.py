"""Balanced accuracy: the figure, the change, and what it needs."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from pipeline.errors import UserError
from pipeline.metrics.balanced_accuracy import BalancedAccuracy
from pipeline.metrics.counts import evened
from tests.metrics.judged import check_verdicts, class_scores, judged, value

METRIC = BalancedAccuracy()
LABELS = np.random.default_rng(0).choice(4, 700, p=[0.4, 0.3, 0.2, 0.1])


def test_the_figure_is_scikit_learns() -> None:
    scores = class_scores(LABELS, 4, 1.0)
    assert value(METRIC, scores, LABELS) == pytest.approx(balanced_accuracy_score(LABELS, scores.argmax(1)))


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    check_verdicts(METRIC, class_scores(LABELS, 4, 3.0), class_scores(LABELS, 4, 2.0), LABELS)


def test_no_difference_proves_the_less_the_rarer_a_class_is() -> None:
    rare = np.where(np.arange(2000) < 10, 1, 0)
    assert evened(rare) == int(4 / (1 / 10 + 1 / 1990))
    scores = class_scores(rare, 2, 3.0)
    assert judged(METRIC, scores, scores, rare).verdict == "UNDECIDED"


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"a class number for each class that is told \[2\], and the labels are .*2, 3"):
        METRIC.judging.value(np.zeros(2, np.int64), np.zeros((2, 3), np.int64))
