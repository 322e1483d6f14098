"""R²: the figure, the change, and what it needs."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from pipeline.errors import UserError
from pipeline.metrics.r2 import R2
from tests.metrics.judged import check_verdicts, value

METRIC = R2()
RNG = np.random.default_rng(0)
LABELS = RNG.normal(20, 5, 600).round(1)
NEAR = (LABELS + 3 * RNG.normal(size=600)).round().astype(np.float32)[:, None]
FAR = (LABELS + 5 * RNG.normal(size=600)).round().astype(np.float32)[:, None]


def test_the_figure_is_the_librarys() -> None:
    assert value(METRIC, NEAR, LABELS) == pytest.approx(r2_score(LABELS, NEAR))


def test_several_numbers_an_example_give_the_mean_of_their_figures() -> None:
    figures = [value(METRIC, output, LABELS) for output in (NEAR, FAR)]
    both = value(METRIC, np.concatenate([NEAR, FAR], axis=1), np.stack([LABELS, LABELS], axis=1))
    assert both == pytest.approx(np.mean(figures))


def test_a_worse_model_is_found_worse_and_an_equal_one_is_not() -> None:
    check_verdicts(METRIC, NEAR, FAR, LABELS)


def test_numbers_without_a_label_do_not_count() -> None:
    labels = LABELS.copy()
    labels[::2] = np.nan
    both = np.concatenate([NEAR, NEAR], axis=1).astype(np.float64)
    figure = METRIC.judging.value(both, np.stack([LABELS, labels], axis=1))
    expected = [value(METRIC, NEAR, LABELS), value(METRIC, NEAR[1::2], LABELS[1::2])]
    assert figure == pytest.approx(np.mean(expected))


def test_labels_or_numbers_that_do_not_vary_have_a_figure() -> None:
    assert METRIC.judging.value(np.arange(4.0), np.ones(4)) == 0
    assert METRIC.judging.value(np.ones(4), np.ones(4)) == 1


def test_another_number_of_labels_is_refused() -> None:
    with pytest.raises(UserError, match=r"a label for each number that the model gives \[4, 2\], and the labels are"):
        METRIC.judging.value(np.zeros((4, 2)), np.zeros(4))
