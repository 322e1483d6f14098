"""Classes against labels, vectors against vectors."""

import numpy as np
import pytest

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics import CLASSES, VECTORS, Cosine, TopOne
from pipeline.metrics.top_one import NO_PREDICTION


def test_classes_are_right_or_wrong() -> None:
    assert CLASSES.scores(np.array([1, 2, 3]), np.array([1, 0, 3])).tolist() == [1, 0, 1]


def test_vectors_are_as_right_as_their_cosine() -> None:
    mine = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, -3.0]], np.float32)
    theirs = np.array([[5.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    assert VECTORS.scores(mine, theirs) == pytest.approx([1.0, np.sqrt(0.5), -1.0])


def test_vectors_without_a_direction_are_right_only_where_they_are_equal() -> None:
    mine = np.array([[0.0, 0.0], [0.0, 0.0], [np.nan, 1.0]], np.float32)
    theirs = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    assert VECTORS.scores(mine, theirs).tolist() == [1, 0, 0]


def test_an_outputs_further_axes_become_one_vector() -> None:
    assert Cosine().predictions([np.ones((3, 2, 4))]).shape == (3, 8)


@pytest.mark.parametrize("outputs", [[], [np.ones(3)]])
def test_an_output_that_is_no_vector_is_refused(outputs: list[np.ndarray]) -> None:
    with pytest.raises(UserError, match="metric 'cosine' needs"):
        Cosine().predictions(outputs)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_score_is_class_1_from_the_threshold_on(shape: tuple[int, ...]) -> None:
    scores = np.array([-1.0, 0.0, 0.6, np.nan], np.float32).reshape(shape)
    assert TopOne().predictions([scores]).tolist() == [0, 1, 1, NO_PREDICTION]
    assert TopOne(threshold=0.5).predictions([scores]).tolist() == [0, 0, 1, NO_PREDICTION]


def test_whole_numbers_are_classes_already() -> None:
    assert TopOne().predictions([np.array([3, 0, 7])]).tolist() == [3, 0, 7]


def test_the_axis_of_classes_is_the_last_and_the_second_of_images() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    assert TopOne().predictions([scores[:, 0]]).shape == (2, 4)
    assert TopOne().predictions([scores]).tolist() == scores.argmax(axis=1).tolist()
    assert TopOne(axis=1).predictions([scores[:, 0]]).shape == (2, 5)


def test_a_sequence_is_no_output_to_judge() -> None:
    with pytest.raises(UserError, match="output 1 to be an array, but it is a sequence or map"):
        TopOne(output=1).predictions([np.zeros((2, 2)), [{0: 0.5}]])  # type: ignore[list-item]


def test_parts_that_are_ignored_do_not_count() -> None:
    truth = np.array([[1, 2, IGNORED], [IGNORED] * 3, [0, 0, 0]])
    assert CLASSES.scores(np.array([[1, 0, 9], [1, 2, 3], [0, 0, 0]]), truth).tolist() == [0.5, 1.0]


def test_scores_become_probabilities_and_probabilities_stay() -> None:
    scores = np.array([[0.0, np.log(3.0)], [2.0, 2.0]], np.float32)
    assert TopOne().probabilities([scores]) == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))
    shares = np.array([[0.1, 0.9], [0.7, 0.3]], np.float32)
    assert TopOne().probabilities([shares]) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("single", "one"), [([0.2, 0.9], [0.2, 0.9]), ([0.0, -np.log(3.0)], [0.5, 0.25])], ids=["share", "logit"]
)
def test_a_single_score_is_the_probability_of_class_1_or_its_logit(single: list[float], one: list[float]) -> None:
    found = TopOne().probabilities([np.array(single, np.float32)[:, None]])
    assert found is not None
    assert found[:, 1] == pytest.approx(one)
    assert found.sum(1) == pytest.approx(1.0)


def test_the_classes_of_an_image_s_pixels_come_last() -> None:
    found = TopOne().probabilities([np.zeros((2, 5, 3, 4), np.float32)])
    assert found is not None
    assert found.shape == (2, 3, 4, 5)


def test_classes_have_no_probabilities() -> None:
    assert TopOne().probabilities([np.array([1, 2])]) is None
