"""Top-k accuracy: the figure, the change, and what it needs."""

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.top_k import TopK
from tests.metrics.judged import check_verdicts, class_scores, judged, value

LABELS = np.random.default_rng(0).integers(0, 10, 1000)


def test_the_figure_is_scikit_learns() -> None:
    scores = class_scores(LABELS, 10, 1.0)
    for k in (2, 5):
        assert value(TopK(k=k), scores, LABELS) == pytest.approx(top_k_accuracy_score(LABELS, scores, k=k))


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    check_verdicts(TopK(k=3), class_scores(LABELS, 10, 2.0), class_scores(LABELS, 10, 1.0), LABELS)


def test_examples_are_right_or_wrong_so_that_they_are_counted_as_flips() -> None:
    found = judged(TopK(k=3), class_scores(LABELS, 10, 2.0), class_scores(LABELS, 10, 1.0), LABELS)
    assert found.flips
    assert found.p is not None


def test_parts_that_are_ignored_do_not_count() -> None:
    scores = np.zeros((2, 2, 3), np.float32)
    scores[..., 0], scores[..., 1] = 2, 1
    labels = np.array([[0, IGNORED], [1, 2]])
    judging = TopK(k=2).judging
    assert judging.value(TopK(k=2).predictions([scores]), labels) == pytest.approx(0.75)


def test_what_is_not_a_number_is_never_right() -> None:
    scores = np.array([[0.0, np.nan, 1.0]], np.float32)
    assert TopK(k=2).predictions([scores]).max() < 0


def test_a_k_that_leaves_no_class_out_is_refused() -> None:
    with pytest.raises(UserError, match=r"metric\.k=5 leaves no class out, as the model has 3"):
        TopK().fitted({"y": np.zeros((4, 3), np.float32)})


def test_one_score_an_example_is_refused() -> None:
    with pytest.raises(UserError, match=r"more than metric\.k=5 classes, but it has one score an example"):
        TopK().predictions([np.zeros((4, 1), np.float32)])
