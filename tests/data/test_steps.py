"""Sequences as the calls of a model with a state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data.dataset import IGNORED, Split, SplitName
from pipeline.data.steps import StateInput, Steps
from pipeline.errors import UserError


@dataclass(frozen=True)
class Given:
    """A data set of one split."""

    inputs: Mapping[str, NDArray[Any]]
    labels: NDArray[Any] | None = None
    name: str = "given"
    calibration_size: int = 0
    class_names: tuple[str, ...] = ()

    def split(self, name: SplitName) -> Split:
        return Split(self.inputs, self.labels, origins=np.arange(len(self.inputs["x"])))


def calls(labels: NDArray[Any] | None = None, **inputs: NDArray[Any]) -> Split:
    states = {"state": StateInput(shape=(2,), dtype="float32")}
    return Steps(data=Given(inputs, labels), axes={"x": 1, "rate": 0}, states=states).split("test")


def test_each_step_is_an_example_whose_first_state_is_zero() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    found = calls(x=x, rate=np.array([8, 16]))
    np.testing.assert_array_equal(found.inputs["x"], x.reshape(6, 4))
    np.testing.assert_array_equal(found.inputs["rate"], [8, 8, 8, 16, 16, 16])
    assert found.inputs["state"].shape == (6, 2)
    assert not found.arrays["state"].any()
    assert found.origins is not None
    assert found.origins.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.notes == ("the test split has 2 sequences of 3 steps, each a call with the state of the one before",)


def test_a_state_that_the_data_has_is_the_first_one() -> None:
    found = calls(x=np.zeros((2, 3, 4)), state=np.array([[1, 2], [3, 4]]))
    assert found.inputs["state"][::3].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("labels", "by_call"),
    [
        (np.array([[0, 1, 2], [2, 1, 0]]), [0, 1, 2, 2, 1, 0]),
        (np.array([1, 2]), [IGNORED, IGNORED, 1, IGNORED, IGNORED, 2]),
        (np.array([0.5, 1.5]), [np.nan, np.nan, 0.5, np.nan, np.nan, 1.5]),
    ],
)
def test_labels_are_those_of_each_step_or_of_the_last(labels: NDArray[Any], by_call: list[float]) -> None:
    np.testing.assert_array_equal(calls(labels, x=np.zeros((2, 3, 4))).labels, by_call)


def test_splits_with_other_numbers_of_steps_are_refused() -> None:
    @dataclass(frozen=True)
    class Longer(Given):
        def split(self, name: SplitName) -> Split:
            return Split({"x": np.zeros((2, 3 if name == "test" else 4, 4))})

    data = Steps(data=Longer({}), axes={"x": 1}, states={})
    data.split("test")
    with pytest.raises(UserError, match="the calibration split have 4 steps, and those of the test split 3"):
        data.split("calibration")


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"x": np.zeros((2, 4))}, r"no array of given has an axis of steps \(it has x \[2, 4\]\): give \[N, steps"),
        ({"x": np.zeros((2, 3, 4)), "rate": np.zeros((2, 5))}, "different numbers of steps: 'x' 3, 'rate' 5"),
    ],
)
def test_data_without_steps_is_refused(inputs: dict[str, NDArray[Any]], says: str) -> None:
    with pytest.raises(UserError, match=says):
        calls(**inputs)
