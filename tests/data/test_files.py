"""Reading data sets from NumPy files, and splitting one file by hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.files import NpzFile, SplitFolder, read_npz
from pipeline.data.hashing import DEFAULT_FRACTIONS, SPLITS
from pipeline.errors import UserError
from pipeline.measure.accuracy import assert_disjoint


def save(path: Path, count: int = 200, seed: int = 0, **changes: Any) -> Path:
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {
        "image": rng.normal(size=(count, 1, 4, 4)).astype(np.float32),
        "labels": rng.integers(0, 3, count),
    }
    arrays.update(changes)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def npz(path: Path, **changes: Any) -> NpzFile:
    return NpzFile(**{"path": path, "fractions": DEFAULT_FRACTIONS, **changes})


def test_the_splits_of_one_file_share_no_example_and_hold_all(tmp_path: Path) -> None:
    data = npz(save(tmp_path / "d.npz"), calibration_size=1000)
    splits = {name: data.split(name) for name in SPLITS}
    assert_disjoint(splits)
    assert {name: len(split) for name, split in splits.items()} == {
        "test": 100,
        "train": 60,
        "calibration": 20,
        "validation": 20,
    }


def test_the_order_of_the_examples_does_not_change_who_is_in_a_split(tmp_path: Path) -> None:
    first = read_npz(save(tmp_path / "a.npz"))
    order = np.random.default_rng(1).permutation(len(first))
    assert first.labels is not None
    np.savez(tmp_path / "b.npz", image=first.inputs["image"][order], labels=first.labels[order])
    a, b = npz(tmp_path / "a.npz").split("test"), npz(tmp_path / "b.npz").split("test")
    assert set(a.example_hashes()) == set(b.example_hashes())


def test_equal_examples_share_a_split(tmp_path: Path) -> None:
    image = np.repeat(np.random.default_rng(0).normal(size=(60, 1, 2, 2)), 5, axis=0).astype(np.float32)
    data = npz(save(tmp_path / "d.npz", image=image, labels=None), calibration_size=1000)
    splits = {name: data.split(name) for name in SPLITS}
    assert_disjoint(splits)
    assert sum(len(split) for split in splits.values()) == 300


@settings(max_examples=20, deadline=None)
@given(count=st.integers(90, 300), seed=st.integers(0, 5))
def test_every_example_is_in_exactly_one_split(tmp_path_factory: pytest.TempPathFactory, count: int, seed: int) -> None:
    path = save(tmp_path_factory.mktemp("d") / "d.npz", count, seed)
    data = npz(path, calibration_size=1000)
    assert sum(len(data.split(name)) for name in SPLITS) == count


def test_labels_stay_with_their_examples(tmp_path: Path) -> None:
    labels = np.arange(200)
    image = np.broadcast_to(labels[:, None, None, None], (200, 1, 2, 2)).astype(np.float32)
    split = npz(save(tmp_path / "d.npz", image=image, labels=labels)).split("test")
    assert split.labels is not None
    assert (split.inputs["image"][:, 0, 0, 0] == split.labels).all()


def test_a_file_that_is_too_small_is_refused_with_the_number_needed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"too few for the test split \(5, needed 20\): at least 40 different"):
        npz(save(tmp_path / "d.npz", 10)).split("test")


def test_sizes_limit_calibration_and_test_only(tmp_path: Path) -> None:
    data = npz(save(tmp_path / "d.npz"), calibration_size=9, test_size=30)
    assert [len(data.split(name)) for name in SPLITS] == [60, 20, 9, 30]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "holds no inputs"),
        ({"labels": np.zeros(3, np.int64)}, "differ in their number of examples"),
        ({"labels": np.zeros(200)}, "'labels' must be one whole number an example"),
        ({"image": np.full((200, 1), np.nan)}, "not finite"),
        ({"image": np.zeros((0, 1)), "labels": None}, "holds no examples"),
        ({"image": np.array([{}] * 200, dtype=object)}, "can't be read"),
    ],
)
def test_a_wrong_file_is_refused_saying_why(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_npz(save(tmp_path / "d.npz", **changes))


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_text("hello")
    with pytest.raises(UserError, match=r"can't be read as \.npz"):
        read_npz(tmp_path / "d.npz")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_npz(tmp_path / "none.npz")


@pytest.mark.parametrize("fractions", [{"test": 1.5}, {"test": 0.9, "train": 0.2}, {"tests": 0.5}, {"test": -0.1}])
def test_impossible_fractions_are_refused(tmp_path: Path, fractions: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="fractions"):
        npz(tmp_path / "d.npz", fractions=fractions)


def test_a_folder_without_a_split_says_which_file_is_missing(tmp_path: Path) -> None:
    save(tmp_path / "test.npz")
    data = SplitFolder(path=tmp_path, name="mine")
    assert len(data.split("test")) == 200
    with pytest.raises(UserError, match=r"no calibration split: .*calibration\.npz does not exist"):
        data.split("calibration")
