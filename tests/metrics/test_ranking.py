"""AUROC and average precision: the figure, the change, and what they need."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import label_binarize

from pipeline.errors import UserError
from pipeline.metrics.auroc import Auroc
from pipeline.metrics.average_precision import AveragePrecision
from pipeline.metrics.ranking import Ranking
from tests.metrics.judged import check_verdicts, class_scores, value

Library = Callable[..., float]
BINARY = np.random.default_rng(0).choice(2, 700, p=[0.6, 0.4])
SEVERAL = np.random.default_rng(0).choice(4, 700, p=[0.4, 0.3, 0.2, 0.1])


METRICS = [Auroc(), AveragePrecision()]
BOTH = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
BESIDE_LIBRARY = pytest.mark.parametrize(
    ("metric", "library"), [*zip(METRICS, [roc_auc_score, average_precision_score], strict=True)]
)


@BESIDE_LIBRARY
def test_the_figure_of_class_1_is_scikit_learns_ties_included(metric: Ranking, library: Library) -> None:
    scores = class_scores(BINARY, 2, 1.0, binary=True).round(1)
    assert value(metric, scores, BINARY) == pytest.approx(library(BINARY, scores[:, 0]))
    both = np.concatenate([-scores / 2, scores / 2], axis=1)
    assert value(metric, both, BINARY) == pytest.approx(library(BINARY, scores[:, 0]))


@BESIDE_LIBRARY
def test_the_mean_over_several_classes_is_scikit_learns(metric: Ranking, library: Library) -> None:
    scores = class_scores(SEVERAL, 4, 1.0)
    shares = softmax(scores.astype(np.float64), axis=1)
    expected = library(label_binarize(SEVERAL, classes=range(4)), shares, average="macro")
    assert value(metric, scores, SEVERAL) == pytest.approx(expected, abs=1e-6)
    assert value(metric, shares, SEVERAL) == pytest.approx(expected, abs=1e-6)


@BOTH
def test_a_worse_model_is_found_worse_and_an_equal_one_is_not(metric: Ranking) -> None:
    better, worse = (class_scores(BINARY, 2, signal, binary=True) for signal in (2.0, 1.0))
    check_verdicts(metric, better, worse, BINARY)


@BOTH
def test_classes_and_what_is_not_a_number_are_no_scores(metric: Ranking) -> None:
    with pytest.raises(UserError, match=r"to be scores \[examples, classes\] or one score an example"):
        metric.predictions([np.array([0, 1, 1])])
    with pytest.raises(UserError, match="needs scores that are finite numbers"):
        metric.predictions([np.array([0.5, np.nan], np.float32)])


@BOTH
def test_labels_that_are_no_class_of_the_model_are_refused(metric: Ranking) -> None:
    scores = metric.predictions([class_scores(BINARY, 2, 1.0)])
    with pytest.raises(UserError, match="needs one class number an example, 0 to 1"):
        metric.judging.value(scores, BINARY + 1)
