"""Mean IoU: the figure, the change, and what it needs."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.mean_iou import MeanIou
from tests.metrics.judged import check_verdicts, class_scores, value

METRIC = MeanIou()
LABELS = np.random.default_rng(0).choice(3, (500, 6, 5), p=[0.6, 0.3, 0.1])


def _scores(signal: float) -> np.ndarray:
    return np.moveaxis(class_scores(LABELS, 3, signal), -1, 1)


def test_the_figure_is_scikit_learns_over_all_pixels() -> None:
    scores = _scores(2.0)
    expected = jaccard_score(LABELS.ravel(), scores.argmax(1).ravel(), average="macro")
    assert value(METRIC, scores, LABELS) == pytest.approx(expected)


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    check_verdicts(METRIC, _scores(4.0), _scores(3.0), LABELS)


def test_pixels_that_are_ignored_do_not_count() -> None:
    truth = np.array([[[0, 1, IGNORED]]])
    assert METRIC.judging.value(np.array([[[0, 1, 2]]]), truth) == 1


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(UserError, match=r"class that is told \[2, 6, 5\], and the labels are int64 \[2, 12, 10\]"):
        METRIC.judging.value(np.zeros((2, 6, 5), np.int64), np.zeros((2, 12, 10), np.int64))
