"""Data that stays in files gives what the same data gives in memory, and is never read as a whole."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import rows
from pipeline.data.batches import WithAxes, batch, batch_of
from pipeline.data.dataset import Split, SplitName, prepared, preprocess
from pipeline.data.files import NpzFile, read_npz
from pipeline.data.fitted import Fit, Fitted, Wanted
from pipeline.data.preprocessing import Preprocessing
from pipeline.data.rows import Region, Rows
from pipeline.data.spool import Spool
from pipeline.data.widened import widened
from pipeline.errors import UserError
from pipeline.measure.accuracy import assert_disjoint

IMAGES = np.random.default_rng(0).integers(0, 256, (200, 3, 4, 5), dtype=np.uint8)
LABELS = np.arange(200) % 3
NAMES: tuple[SplitName, ...] = ("test", "train", "calibration")


def saved(path: Path) -> Path:
    np.savez(path, x=IMAGES, labels=LABELS)
    return path


def compressed(path: Path) -> Path:
    np.savez_compressed(path, x=IMAGES, labels=LABELS)
    return path


def in_a_folder(path: Path) -> Path:
    path.mkdir()
    np.save(path / "x.npy", IMAGES)
    np.save(path / "labels.npy", LABELS)
    return path


@pytest.fixture(params=[saved, compressed, in_a_folder])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write: Callable[[Path], Path] = request.param
    return write(tmp_path / "d.npz")


@pytest.fixture
def tiny_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rows, "IN_MEMORY", 1000)
    monkeypatch.setattr(rows, "_PIECE", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    read_npz.cache_clear()


def data(path: Path) -> NpzFile:
    return NpzFile(path=path, fractions={"test": 0.5, "train": 0.3, "calibration": 0.2})


@pytest.mark.usefixtures("tiny_memory")
def test_splits_of_a_large_file_are_those_that_it_has_in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = {name: data(path).split(name) for name in NAMES}
    wide = widened(data(path)).split("test")
    monkeypatch.setattr(rows, "IN_MEMORY", 2**26)
    read_npz.cache_clear()
    small = {name: data(path).split(name) for name in NAMES}
    for name, split in large.items():
        assert isinstance(split.inputs["x"], Rows)
        assert split.digest() == small[name].digest()
        assert split.labels is not None
        np.testing.assert_array_equal(split.labels, small[name].labels)
    assert wide.digest() == widened(data(path)).split("test").digest()
    assert isinstance(wide.inputs["x"], Rows)
    assert_disjoint(large)


@pytest.mark.usefixtures("tiny_memory")
def test_what_a_model_reads_is_made_when_it_is_read(path: Path) -> None:
    wanted = {"x": Wanted(shape=(None, 4, 5, 3), dtype="float32", preprocessed=True)}
    scaled = {"x": Preprocessing(scale=1 / 255, mean=(0.5,) * 4, std=(0.25,) * 4)}
    split = Fitted(data=data(path), fit=Fit(wanted=wanted)).split("test")
    later = prepared(split.inputs, scaled)
    now = preprocess(split.inputs, scaled)
    assert isinstance(later["x"], Rows)
    assert (later["x"].shape, later["x"].dtype.name) == ((100, 4, 5, 3), "float32")
    np.testing.assert_array_equal(batch(later, 7, 9)["x"], now["x"][7:16])
    np.testing.assert_array_equal(batch_of(later, 120)["x"][100:], now["x"][:20])
    np.testing.assert_array_equal(np.asarray(later["x"]), now["x"])


@pytest.mark.usefixtures("tiny_memory")
def test_another_process_is_handed_the_place_and_not_the_values(path: Path) -> None:
    split = data(path).split("test")
    sent = pickle.dumps(split)
    assert len(sent) < split.inputs["x"].nbytes / 2
    assert pickle.loads(sent).digest() == split.digest()


@pytest.mark.usefixtures("tiny_memory")
def test_large_numbers_that_are_no_numbers_are_still_found(tmp_path: Path) -> None:
    values = np.ones((500, 2), np.float32)
    values[499, 1] = np.nan
    np.savez(tmp_path / "d.npz", x=values)
    with pytest.raises(UserError, match="'x' holds values that are not finite"):
        data(tmp_path / "d.npz").split("test")


@pytest.mark.usefixtures("tiny_memory")
def test_an_npy_file_that_was_cut_off_or_holds_objects_is_refused(tmp_path: Path) -> None:
    file = in_a_folder(tmp_path / "arrays") / "x.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"x\.npy promises more than it holds"):
        data(file.parent).split("test")
    np.save(file, np.array([{}] * 2000, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"x\.npy can't be read as \.npy: .*Object arrays cannot be loaded"):
        data(file.parent).split("test")


@pytest.mark.usefixtures("tiny_memory")
@pytest.mark.parametrize("count", [10, 1000])
def test_a_spool_gives_back_what_came_in_whatever_its_size(count: int) -> None:
    spool = Spool()
    for number in range(count):
        spool.add(np.full((1, 3), number, np.int16))
    found = spool.array()
    assert isinstance(found, Rows) == (count == 1000)
    np.testing.assert_array_equal(found[:], np.arange(count, dtype=np.int16)[:, None].repeat(3, 1))
    np.testing.assert_array_equal(found[[7, 8, 2]], [[7] * 3, [8] * 3, [2] * 3])
    assert found[3:3].shape == (0, 3)


def test_arrays_of_nothing_are_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    found = Rows.of(Region(tmp_path / "empty", 0, np.dtype(np.float32), (5, 0)))
    assert Split(WithAxes({"x": found})).take(1, 3).arrays["x"].shape == (2, 0)
