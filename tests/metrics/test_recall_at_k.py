"""Recall at k: the figure, the change, and what it needs."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.recall_at_k import RecallAtK
from tests.metrics.judged import check_verdicts, value

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 20, 600)
CENTRES = RNG.normal(size=(20, 16))


def _embedded(noise: float) -> np.ndarray:
    return (CENTRES[LABELS] + noise * np.random.default_rng(1).normal(size=(600, 16))).astype(np.float32)


@pytest.mark.parametrize("k", [1, 5])
def test_the_figure_is_what_scikit_learns_neighbours_give(k: int) -> None:
    vectors = _embedded(1.5)
    nearest = NearestNeighbors(n_neighbors=k + 1, metric="cosine").fit(vectors).kneighbors(vectors)[1]
    others = [[place for place in row if place != own][:k] for own, row in enumerate(nearest)]
    expected = np.mean([(LABELS[row] == LABELS[own]).any() for own, row in enumerate(others)])
    assert value(RecallAtK(k=k), vectors, LABELS) == pytest.approx(expected)


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    check_verdicts(RecallAtK(), _embedded(0.5), _embedded(2.0), LABELS)


def test_an_example_without_another_of_its_label_is_left_out() -> None:
    vectors = np.array([[1, 0], [1, 0.1], [0, 1], [0, 1]], np.float32)
    scores = RecallAtK().judging.value(vectors, np.array([0, 0, 7, IGNORED]))
    assert scores == 1


def test_an_output_that_is_no_vector_and_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(UserError, match="metric 'recall at k' needs output 0 to be a vector an example"):
        RecallAtK().predictions([np.zeros(3, np.float32)])
    with pytest.raises(UserError, match="needs one class number an example"):
        RecallAtK().judging.value(np.zeros((3, 2), np.float32), np.zeros((3, 2), np.int64))
