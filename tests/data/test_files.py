"""Reading data sets from NumPy files, and splitting one file by hash."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.batches import axes_of, batch
from pipeline.data.dataset import IGNORED, Split, SplitName
from pipeline.data.files import NpzFile, SplitFolder, read_npz
from pipeline.data.hashing import DEFAULT_FRACTIONS, SPLITS, split_sizes
from pipeline.errors import NoExamples, UserError
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


def sizes_of(count: int) -> dict[str, int]:
    return {str(name): size for name, size in split_sizes(count, DEFAULT_FRACTIONS).items()}


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
@given(count=st.integers(1, 300), seed=st.integers(0, 5))
def test_every_example_is_in_exactly_one_split(tmp_path_factory: pytest.TempPathFactory, count: int, seed: int) -> None:
    path = save(tmp_path_factory.mktemp("d") / "d.npz", count, seed)
    data = npz(path, calibration_size=1000)
    assert sum(len(data.split(name)) for name in SPLITS if sizes_of(count)[name]) == count


def test_labels_stay_with_their_examples(tmp_path: Path) -> None:
    labels = np.arange(200)
    image = np.broadcast_to(labels[:, None, None, None], (200, 1, 2, 2)).astype(np.float32)
    split = npz(save(tmp_path / "d.npz", image=image, labels=labels)).split("test")
    assert split.labels is not None
    assert (split.arrays["image"][:, 0, 0, 0] == split.labels).all()


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (200, {"test": 100, "train": 60, "calibration": 20, "validation": 20}),
        (60, {"test": 30, "train": 16, "calibration": 8, "validation": 6}),
        (30, {"test": 20, "train": 0, "calibration": 8, "validation": 2}),
        (12, {"test": 4, "train": 0, "calibration": 8, "validation": 0}),
        (8, {"test": 1, "train": 0, "calibration": 7, "validation": 0}),
        (5, {"test": 5, "train": 0, "calibration": 0, "validation": 0}),
        (1, {"test": 1, "train": 0, "calibration": 0, "validation": 0}),
    ],
)
def test_of_few_examples_calibration_gets_eight_and_test_the_rest(count: int, sizes: dict[str, int]) -> None:
    assert split_sizes(count, DEFAULT_FRACTIONS) == sizes


def test_a_small_file_says_what_its_splits_are_and_which_there_are_not(tmp_path: Path) -> None:
    data = npz(save(tmp_path / "d.npz", 12))
    (note,) = data.split("test").notes
    assert "12 different examples, so its splits are 4 test, 8 calibration" in note
    assert "what reads train or validation is skipped" in note
    with pytest.raises(NoExamples, match="the train split has no examples"):
        data.split("train")


def test_few_different_examples_among_many_are_enough(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(30, 1, 2, 2)).astype(np.float32)
    data = npz(save(tmp_path / "d.npz", image=image[np.arange(200) % 30], labels=None))
    splits: dict[SplitName, Split] = {"test": data.split("test"), "calibration": data.split("calibration")}
    assert_disjoint(splits)
    assert len(set(splits["calibration"].example_hashes())) == 8
    assert "30 different examples among 200" in splits["test"].notes[0]


def test_sizes_limit_calibration_and_test_only(tmp_path: Path) -> None:
    data = npz(save(tmp_path / "d.npz"), calibration_size=9, test_size=30)
    assert [len(data.split(name)) for name in SPLITS] == [60, 20, 9, 30]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "holds no inputs"),
        ({"labels": np.zeros(3, np.int64)}, "differ in their number of examples"),
        ({"labels": np.append(np.full(199, 0.5), np.inf)}, "'labels' must hold numbers, .* some are not finite"),
        ({"labels": np.array(["a", "b"] * 100)}, r"holds names: .* data\.class_names=\[a,b\]"),
        ({"labels": np.zeros(200, "datetime64[s]")}, "'labels' must hold whole numbers"),
        ({"labels": np.int64(1)}, "'labels' is a single value"),
        ({"image": np.zeros(200, "datetime64[s]")}, "'image' holds datetime64"),
        ({"image": np.full((200, 1), np.nan)}, "not finite"),
        ({"image": np.zeros((0, 1)), "labels": None}, "holds no examples"),
        ({"image": np.array([{}] * 200, dtype=object)}, "can't be read: 'image' holds Python objects"),
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
    with pytest.raises(NoExamples, match=r"no calibration split: .*calibration\.npz does not exist"):
        data.split("calibration")


@pytest.mark.parametrize(
    ("raw", "fields", "classes"),
    [
        (np.arange(1, 4), {"label_offset": 1}, [0, 1, 2]),
        (np.array([0.0, 2.0, 1.0]), {}, [0, 2, 1]),
        (np.array([True, False, True]), {}, [1, 0, 1]),
        (np.array([[2], [0], [1]]), {}, [2, 0, 1]),
        (np.array(["b", "a", "b"]), {"class_names": ("a", "b")}, [1, 0, 1]),
        (np.array(["3", "1", "2"]), {"label_offset": 1}, [2, 0, 1]),
        (np.array([0, -1, 1]), {"ignore_label": -1}, [0, IGNORED, 1]),
        (np.arange(3).astype(">i4"), {}, [0, 1, 2]),
    ],
)
def test_labels_become_class_numbers(tmp_path: Path, raw: Any, fields: dict[str, Any], classes: list[int]) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(3, dtype=np.float32)[:, None], labels=raw)
    split = npz(tmp_path / "d.npz", fractions={"test": 1.0}, **fields).split("test")
    assert split.labels is not None
    order = split.arrays["x"][:, 0].astype(int)
    assert split.labels.tolist() == [classes[number] for number in order]


def test_a_name_that_is_no_class_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 1), np.float32), labels=np.array(["a", "c"]))
    with pytest.raises(UserError, match=r"holds 'c', which data\.class_names lacks: a, b"):
        npz(tmp_path / "d.npz", class_names=("a", "b")).split("test")


def test_an_array_that_promises_more_than_it_holds_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (8796093022208,), }"
    padded = header.ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + b"\0" * 8)
    with pytest.raises(UserError, match=r"'x' promises 35\.2 TB and holds 8 bytes"):
        npz(tmp_path / "d.npz").split("test")


def test_a_file_that_unpacks_to_more_than_is_allowed_is_refused_before_it_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((1000, 1000), np.float32))
    with pytest.raises(UserError, match=r"unpacks to 4\.0 MB, more than data\.max_gb \(1\.0 MB\): .*data\.max_gb=1"):
        npz(tmp_path / "d.npz", max_gb=0.001).split("test")


def test_a_pipe_and_a_folder_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(UserError, match="is a device or pipe, not a file"):
        npz(tmp_path / "pipe.npz").split("test")
    with pytest.raises(UserError, match="is a folder, not a file"):
        npz(tmp_path).split("test")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "d.npz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"can't be read as \.npz"):
        npz(path).split("test")


def test_a_state_and_a_scalar_are_taken_by_example(tmp_path: Path) -> None:
    state = np.random.default_rng(0).normal(size=(2, 40, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=np.arange(40, dtype=np.float32)[:, None], h0=state, rate=np.int64(16000))
    split = npz(tmp_path / "d.npz", fractions={"test": 1.0}).split("test")
    assert {name: array.shape for name, array in split.inputs.items()} == {
        "x": (40, 1),
        "h0": (40, 2, 3),
        "rate": (40,),
    }
    assert axes_of(split.inputs) == {"h0": 1, "rate": None}
    made = batch(split.inputs, 3, 5)
    chosen = made["x"][:, 0].astype(int)
    np.testing.assert_array_equal(made["h0"], state[:, chosen])
    assert made["rate"].shape == ()
    assert made["rate"] == 16000


def test_an_array_of_another_length_is_refused_and_taken_whole_where_that_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((40, 1), np.float32), table=np.zeros((39, 2), np.float32))
    with pytest.raises(UserError, match=r"differ in their number of examples .*batch_axes\.table=1, or null"):
        npz(tmp_path / "d.npz").split("test")
    split = npz(tmp_path / "d.npz", batch_axes={"table": None}).split("test")
    assert batch(split.inputs, 0, 2)["table"].shape == (39, 2)


def test_labels_with_fractions_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.zeros((4, 2), np.float32), labels=np.array([[0.5], [-100], [2], [3]], np.float32))
    labels = read_npz(path).labels
    assert labels is not None
    assert labels.dtype == np.float64
    assert labels.tolist() == [0.5, -100, 2, 3]
