"""A function of the user's own: its figure, its change, and what is said where it does not do."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data.dataset import IGNORED
from pipeline.errors import UserError
from pipeline.metrics.function import Function
from tests.metrics.judged import check_verdicts, class_scores, value

LABELS = np.random.default_rng(0).integers(0, 3, 600)
HERE = __name__


def right(outputs: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    taken: NDArray[Any] = outputs.argmax(1) == labels
    return taken


def surprise(outputs: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    taken: NDArray[Any] = outputs.max(1) - outputs[np.arange(len(labels)), labels]
    return taken


def mean_right(outputs: NDArray[Any], labels: NDArray[Any]) -> float:
    return float(right(outputs, labels).mean())


def mean_surprise(outputs: NDArray[Any], labels: NDArray[Any]) -> float:
    return float(surprise(outputs, labels).mean())


def failing(outputs: NDArray[Any], labels: NDArray[Any]) -> float:
    raise KeyError("no such thing")


WAYS: list[tuple[str, Literal["per_example", "overall"], Literal["percent", "number", "error"]]] = [
    ("right", "per_example", "percent"),
    ("right", "per_example", "number"),
    ("surprise", "per_example", "error"),
    ("mean_right", "overall", "percent"),
    ("mean_right", "overall", "number"),
    ("mean_surprise", "overall", "error"),
]


@pytest.mark.parametrize(("name", "kind", "unit"), WAYS)
def test_the_figure_is_the_functions_and_a_worse_model_is_found_worse(
    name: str, kind: Literal["per_example", "overall"], unit: Literal["percent", "number", "error"]
) -> None:
    metric = Function(function=f"{HERE}.{name}", kind=kind, unit=unit)
    better, worse = class_scores(LABELS, 3, 3.0), class_scores(LABELS, 3, 1.0)
    assert value(metric, better, LABELS) == pytest.approx(np.mean(globals()[name](better, LABELS)))
    check_verdicts(metric, better, worse, LABELS)


def test_examples_that_are_ignored_are_not_given() -> None:
    judging = Function(function=f"{HERE}.right", unit="percent").judging
    assert judging.value(np.eye(3), np.array([0, IGNORED, 0])) == 0.5


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (Function(function="gone_package.metric"), "gone_package.metric can't be imported: .*no module 'gone_package'"),
        (Function(function="numpy.pi"), r"metric\.function=numpy\.pi is a float, not a function"),
    ],
)
def test_a_function_that_is_not_there_is_told_before_any_work(metric: Function, says: str) -> None:
    with pytest.raises(UserError, match=says):
        metric.fitted({"y": np.zeros((2, 3), np.float32)})


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (Function(function=f"{HERE}.mean_right"), "a value for each of 4 examples, .*metric.kind=overall takes one"),
        (Function(function=f"{HERE}.right", kind="overall"), "one value for all examples, .*metric.kind=per_example"),
        (Function(function=f"{HERE}.surprise", unit="percent"), "gave 0 to 5, .*type metric.unit=number"),
        (Function(function=f"{HERE}.failing"), "failing failed: .*no such thing.*test_function.py, line"),
        (Function(function="numpy.divide", unit="error"), "gave values that are not finite numbers"),
    ],
)
def test_a_function_that_gives_something_else_is_told(metric: Function, says: str) -> None:
    outputs = 5 * np.eye(4) if "divide" not in metric.function else np.full(4, np.inf)
    with pytest.raises(UserError, match=says):
        metric.judging.value(outputs, np.array([1, 1, 2, 3]))
