"""Random inputs in place of data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.data.dataset import SplitName
from pipeline.data.fitted import Wanted
from pipeline.data.noise import InputShape, Noise
from pipeline.errors import NoExamples, UserError

INPUTS = {
    "input_ids": InputShape(shape=(5,), dtype="int64"),
    "attention_mask": InputShape(shape=(5,), dtype="int64"),
    "image": InputShape(shape=(3, 8, 8), dtype="float32"),
}


def noise(**changes: Any) -> Noise:
    return Noise(**{"inputs": INPUTS, "examples": {"test": 40, "calibration": 20}, "below": 7, **changes})


def test_inputs_have_the_shapes_types_and_ranges_that_were_asked_for() -> None:
    inputs = noise(fixed={"attention_mask": 1}).split("test").arrays
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
    for examples in ({"test": 4}, {"test": 4, "train": 0}):
        with pytest.raises(NoExamples, match=r"there are no train examples: .*data\.examples\.train=64"):
            noise(examples=examples).split("train")


FREE = {
    "ids": Wanted(shape=(None, None), dtype="int64", below=5),
    "image": Wanted(shape=(None, 3, None, None), dtype="float32"),
    "last": Wanted(shape=(None, None, None, 1), dtype="uint8"),
    "past": Wanted(shape=(None, 12, None, 8), dtype="float32"),
    "rate": Wanted(shape=(), dtype="int64"),
    "state": Wanted(shape=(2, None, 6), dtype="float32"),
}
AXES = {"rate": None, "state": 1}


def test_a_model_that_tells_its_inputs_gets_examples_of_them_with_stated_sizes_where_it_leaves_any_free() -> None:
    split = noise(inputs={}, length=9, size=10, below=300).drawn_for(FREE, AXES).split("test")
    assert {name: array.shape[1:] for name, array in split.inputs.items()} == {
        "ids": (9,), "image": (3, 10, 10), "last": (10, 10, 1), "past": (12, 9, 8), "rate": (), "state": (2, 6),
    }  # fmt: skip
    assert set(np.unique(split.inputs["ids"])) == set(range(5))
    assert split.arrays["last"].max() > 200
    assert len(np.unique(split.inputs["rate"])) == 1
    assert any("'ids' free, and its examples are [9]" in note for note in split.notes)
    assert not any("'state'" in note for note in split.notes)
    assert any("no accuracy is claimed" in note for note in split.notes)


def test_a_size_that_is_typed_counts_and_the_type_stays_the_models() -> None:
    inputs = {"ids": InputShape(shape=(3,))}
    array = noise(inputs=inputs).drawn_for({"ids": FREE["ids"]}, {}).split("test").arrays["ids"]
    assert (array.shape, array.dtype.name) == ((40, 3), "int64")


def test_an_input_of_unknown_shape_is_told_with_what_to_type() -> None:
    with pytest.raises(UserError, match=r"no shape of 'x'.*data\.inputs\.x\.shape="):
        noise().drawn_for({"x": Wanted(shape=None, dtype="float32")}, {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"examples": {"tests": 3}},
            r"examples.tests does not exist; did you mean 'test'\? available: train, validation, calibration, test",
        ),
        ({"examples": {"test": 0}}, "examples must be at least 1 of the test split"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        noise(**changes)
