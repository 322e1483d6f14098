"""Classes against labels, vectors against vectors."""

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.metrics import Cosine, judged


def test_classes_are_right_or_wrong() -> None:
    assert judged(np.array([1, 2, 3]), np.array([1, 0, 3])).tolist() == [1, 0, 1]


def test_vectors_are_as_right_as_their_cosine() -> None:
    mine = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, -3.0]], np.float32)
    theirs = np.array([[5.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    assert judged(mine, theirs) == pytest.approx([1.0, np.sqrt(0.5), -1.0])


def test_vectors_without_a_direction_are_right_only_where_they_are_equal() -> None:
    mine = np.array([[0.0, 0.0], [0.0, 0.0], [np.nan, 1.0]], np.float32)
    theirs = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    assert judged(mine, theirs).tolist() == [1, 0, 0]


def test_an_outputs_further_axes_become_one_vector() -> None:
    assert Cosine().predictions([np.ones((3, 2, 4))]).shape == (3, 8)


@pytest.mark.parametrize("outputs", [[], [np.ones(3)]])
def test_an_output_that_is_no_vector_is_refused(outputs: list[np.ndarray]) -> None:
    with pytest.raises(UserError, match="metric 'cosine' needs"):
        Cosine().predictions(outputs)
