"""Exact match: the figure, the change, and what it needs."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.exact_match import ExactMatch
from tests.metrics.judged import check_verdicts, class_scores, value

METRIC = ExactMatch()
LABELS = np.random.default_rng(0).integers(0, 2, (1000, 3))


def test_the_figure_is_scikit_learns_of_several_labels() -> None:
    scores = class_scores(LABELS, 2, 2.0)
    assert value(METRIC, scores, LABELS) == pytest.approx(accuracy_score(LABELS, scores.argmax(-1)))


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    check_verdicts(METRIC, class_scores(LABELS, 2, 4.0), class_scores(LABELS, 2, 2.0), LABELS)


def test_parts_that_are_ignored_do_not_count() -> None:
    truth = np.array([[1, IGNORED], [IGNORED, IGNORED], [0, 1]])
    assert METRIC.judging.value(np.array([[1, 0], [0, 0], [0, 0]]), truth) == 0.5


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"a class number for each class that is told \[5, 3\], and the labels are"):
        METRIC.judging.value(np.zeros((5, 3), np.int64), np.zeros(5, np.int64))
