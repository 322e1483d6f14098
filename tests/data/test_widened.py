"""The train share is tested on too where nothing trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.batches import axes_of
from pipeline.data.dataset import SplitName
from pipeline.data.files import NpzFile, SplitFolder
from pipeline.data.hashing import DEFAULT_FRACTIONS
from pipeline.data.widened import widened
from pipeline.errors import NoExamples
from pipeline.measure.accuracy import assert_disjoint

READ: tuple[SplitName, ...] = ("validation", "calibration", "test")


def npz(folder: Path, count: int = 200, **changes: Any) -> NpzFile:
    x = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    np.savez(folder / "d.npz", x=x, labels=np.arange(count) % 3)
    return NpzFile(**{"path": folder / "d.npz", "fractions": DEFAULT_FRACTIONS, **changes})


def test_the_test_split_has_the_train_share_behind_its_own_examples(tmp_path: Path) -> None:
    plain = npz(tmp_path)
    test, first, more = widened(plain).split("test"), plain.split("test"), plain.split("train")
    assert len(test) == 160
    np.testing.assert_array_equal(test.inputs["x"], np.concatenate([first.inputs["x"], more.inputs["x"]]))
    np.testing.assert_array_equal(test.labels, np.concatenate([first.labels, more.labels]))
    assert test.notes == ("no stage trains, so the train share (60 examples) is tested on too",)


@pytest.mark.parametrize("count", [8, 30, 50, 200])
def test_what_the_stages_read_stays_as_it_is_and_apart_from_the_test_split(tmp_path: Path, count: int) -> None:
    plain, wide = npz(tmp_path, count), widened(npz(tmp_path, count))
    for name in ("calibration", "validation"):
        if _has(plain, name):
            assert wide.split(name).digest() == plain.split(name).digest()
    assert_disjoint({name: wide.split(name) for name in READ if _has(plain, name)})
    assert sum(len(wide.split(name)) for name in READ if _has(plain, name)) == count


def _has(data: NpzFile, name: SplitName) -> bool:
    try:
        return len(data.split(name)) > 0
    except NoExamples:
        return False


@pytest.mark.parametrize(("limit", "size", "notes"), [(80, 80, 0), (100, 100, 0), (101, 101, 1), (1000, 160, 1)])
def test_the_size_that_was_asked_for_still_limits(tmp_path: Path, limit: int, size: int, notes: int) -> None:
    test = widened(npz(tmp_path, test_size=limit)).split("test")
    assert (len(test), len(test.notes)) == (size, notes)
    if limit == 101:
        assert "(1 example)" in test.notes[0]


def test_the_note_on_small_data_still_names_the_splits_as_they_are(tmp_path: Path) -> None:
    small, more = widened(npz(tmp_path, 50)).split("test").notes
    assert "its splits are 25 test, 12 train, 8 calibration, 5 validation" in small
    assert "(12 examples) is tested on too" in more


def test_inputs_keep_the_axis_of_the_examples(tmp_path: Path) -> None:
    data = npz(tmp_path, batch_axes={"x": 0})
    assert axes_of(widened(data).split("test").inputs) == axes_of(data.split("test").inputs) == {"x": 0}


def test_a_folder_with_splits_of_its_own_stays_as_it_is(tmp_path: Path) -> None:
    data = SplitFolder(path=tmp_path, name="own")
    assert widened(data) is data
