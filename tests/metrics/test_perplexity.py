"""Perplexity: the figure, the sign of a change, and what it needs."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.perplexity import Perplexity
from tests.metrics.judged import check_verdicts, class_scores, judged, value

METRIC = Perplexity()
LABELS = np.random.default_rng(0).integers(0, 6, (400, 5))


@pytest.mark.parametrize("shares", [False, True], ids=["logits", "probabilities"])
def test_the_figure_is_the_exponential_of_scikit_learns_log_loss(shares: bool) -> None:
    scores = class_scores(LABELS, 6, 2.0)
    probabilities = softmax(scores.astype(np.float64), axis=-1)
    expected = np.exp(log_loss(LABELS.ravel(), probabilities.reshape(-1, 6)))
    assert value(METRIC, probabilities if shares else scores, LABELS) == pytest.approx(expected, rel=1e-5)


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    check_verdicts(METRIC, class_scores(LABELS, 6, 2.0), class_scores(LABELS, 6, 1.0), LABELS)


def test_less_is_better() -> None:
    found = judged(METRIC, class_scores(LABELS, 6, 2.0), class_scores(LABELS, 6, 1.0), LABELS)
    assert found.unit == "error"
    assert found.before is not None
    assert found.before < found.value


def test_tokens_that_are_ignored_do_not_count() -> None:
    scores = np.log(np.array([[[0.5, 0.5], [0.9, 0.1]]], np.float32))
    assert METRIC.judging.value(METRIC.predictions([scores]), np.array([[0, IGNORED]])) == pytest.approx(2)


def test_scores_of_no_classes_and_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match=r"to be scores \[examples, tokens, classes\], but the first output's shape"):
        METRIC.predictions([np.zeros((4, 1), np.float32)])
    with pytest.raises(UserError, match=r"needs a class number for each token \[2, 3\], and the labels are int64"):
        METRIC.judging.value(np.zeros((2, 3, 4), np.float32), np.zeros((2, 4), np.int64))
