"""Correlations and R²: the figure, the change, and what they need."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import r2_score

from pipeline.errors import UserError
from pipeline.metrics.pearson import Pearson
from pipeline.metrics.r2 import R2
from pipeline.metrics.spearman import Spearman
from tests.metrics.judged import check_verdicts, value

Library = Callable[[NDArray[Any], NDArray[Any]], float]
RNG = np.random.default_rng(0)
LABELS = RNG.normal(20, 5, 600).round(1)
NEAR = (LABELS + 3 * RNG.normal(size=600)).round().astype(np.float32)[:, None]
FAR = (LABELS + 5 * RNG.normal(size=600)).round().astype(np.float32)[:, None]


Metrics = Pearson | Spearman | R2
METRICS: list[Metrics] = [Pearson(), Spearman(), R2()]
ALL = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


@pytest.mark.parametrize(("metric", "library"), [
    (Pearson(), lambda labels, numbers: pearsonr(labels, numbers).statistic),
    (Spearman(), lambda labels, numbers: spearmanr(labels, numbers).statistic),
    (R2(), r2_score),
])  # fmt: skip
def test_the_figure_is_the_librarys(metric: Metrics, library: Library) -> None:
    assert value(metric, NEAR, LABELS) == pytest.approx(library(LABELS, NEAR[:, 0]))


@ALL
def test_several_numbers_an_example_give_the_mean_of_their_figures(metric: Metrics) -> None:
    figures = [value(metric, output, LABELS) for output in (NEAR, FAR)]
    both = value(metric, np.concatenate([NEAR, FAR], axis=1), np.stack([LABELS, LABELS], axis=1))
    assert both == pytest.approx(np.mean(figures))


@ALL
def test_a_worse_model_is_found_worse_and_an_equal_one_is_not(metric: Metrics) -> None:
    check_verdicts(metric, NEAR, FAR, LABELS)


@ALL
def test_numbers_without_a_label_do_not_count(metric: Metrics) -> None:
    labels = LABELS.copy()
    labels[::2] = np.nan
    both = np.concatenate([NEAR, NEAR], axis=1).astype(np.float64)
    figure = metric.judging.value(both, np.stack([LABELS, labels], axis=1))
    expected = [value(metric, NEAR, LABELS), value(metric, NEAR[1::2], LABELS[1::2])]
    assert figure == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(("metric", "of_equal_ones"), [(Pearson(), 0), (Spearman(), 0), (R2(), 1)])
def test_labels_or_numbers_that_do_not_vary_have_a_figure(metric: Metrics, of_equal_ones: float) -> None:
    assert metric.judging.value(np.arange(4.0), np.ones(4)) == 0
    assert metric.judging.value(np.ones(4), np.ones(4)) == of_equal_ones


@ALL
def test_another_number_of_labels_is_refused(metric: Metrics) -> None:
    with pytest.raises(UserError, match=r"a label for each number that the model gives \[4, 2\], and the labels are"):
        metric.judging.value(np.zeros((4, 2)), np.zeros(4))
