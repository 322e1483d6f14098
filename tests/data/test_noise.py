"""Random inputs in place of data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.data.dataset import SplitName
from pipeline.data.noise import InputShape, Noise
from pipeline.errors import UserError

INPUTS = {
    "input_ids": InputShape(shape=(5,), dtype="int64"),
    "attention_mask": InputShape(shape=(5,), dtype="int64"),
    "image": InputShape(shape=(3, 8, 8), dtype="float32"),
}


def noise(**changes: Any) -> Noise:
    return Noise(**{"inputs": INPUTS, "examples": {"test": 40, "calibration": 20}, "below": 7, **changes})


def test_inputs_have_the_shapes_types_and_ranges_that_were_asked_for() -> None:
    inputs = noise(fixed={"attention_mask": 1}).split("test").inputs
    assert {name: (array.shape, array.dtype.name) for name, array in inputs.items()} == {
        "input_ids": ((40, 5), "int64"),
        "attention_mask": ((40, 5), "int64"),
        "image": ((40, 3, 8, 8), "float32"),
    }
    assert set(np.unique(inputs["input_ids"])) == set(range(7))
    assert set(np.unique(inputs["attention_mask"])) == {1}
    assert inputs["image"].mean() == pytest.approx(0, abs=0.05)
    assert inputs["image"].std() == pytest.approx(1, abs=0.05)


def test_the_same_seed_draws_the_same_and_splits_share_nothing() -> None:
    first, again, other = (noise(seed=seed).split("test") for seed in (1, 1, 2))
    assert first.digest() == again.digest() != other.digest()
    splits: tuple[SplitName, ...] = ("test", "calibration")
    test, calibration = (set(noise().split(name).example_hashes()) for name in splits)
    assert not test & calibration
    assert noise().split("test").labels is None


def test_a_split_without_examples_says_how_to_have_some() -> None:
    with pytest.raises(UserError, match=r"no train split: data\.examples\.train=64"):
        noise().split("train")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"examples": {"tests": 3}}, "examples.tests does not exist; available: train, validation, calibration, test"),
        ({"examples": {"test": 0}}, "examples must be at least 1 of each split"),
        ({"below": 0}, "below must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        noise(**changes)
