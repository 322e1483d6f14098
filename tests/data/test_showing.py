"""Examples as a person sees them who labels them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.audio import Audio
from pipeline.data.dataset import Dataset, Split
from pipeline.data.files import NpzFile
from pipeline.data.images import Images
from pipeline.data.showing import show
from tests.data.test_texts import texts

Image = pytest.importorskip("PIL.Image")


def shown(data: Dataset, folder: Path) -> tuple[Split, list[str], list[str]]:
    """The test split, and a column of its third and its first example."""
    split = data.split("test")
    folder.mkdir()
    (column,) = show(data, split.chosen([2, 0]), ["2", "0"], folder).values()
    return split, list(column), sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("shape", [(1, 6, 5), (3, 6, 5), (6, 5, 3), (6, 5, 1)])
def test_arrays_of_bytes_that_are_pictures_are_shown_as_pictures(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=pixels)
    split, column, files = shown(NpzFile(path=tmp_path / "d.npz", fractions={"test": 1.0}), tmp_path / "out")
    assert (column, files) == (["2.png", "0.png"], ["0.png", "2.png"])
    found = np.asarray(Image.open(tmp_path / "out" / "2.png"))
    expected = split.arrays["x"][2]
    picture = np.moveaxis(expected, 0, -1) if shape[0] in (1, 3) else expected
    np.testing.assert_array_equal(found, picture.squeeze())


def test_other_arrays_are_stored_a_file_for_each_input(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"a": np.arange(8.0).reshape(4, 2), "b": np.arange(4)}
    np.savez(tmp_path / "d.npz", **arrays)
    split, column, files = shown(NpzFile(path=tmp_path / "d.npz", fractions={"test": 1.0}), tmp_path / "out")
    assert column == ["2.a.npy 2.b.npy", "0.a.npy 0.b.npy"]
    assert len(files) == 4
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "2.a.npy"), split.arrays["a"][2])


@pytest.mark.parametrize("crops", [None, 1])
def test_images_are_copied_and_crops_are_written(tmp_path: Path, crops: int | None) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(4):
        Image.new("RGB", (12, 9), (number * 20, 0, 0)).save(tmp_path / "photos" / f"p{number}.bmp")
    data = Images(path=tmp_path / "photos", size=4, crops=crops, fractions={"test": 1.0})
    split, column, files = shown(data, tmp_path / "out")
    assert split.origins is not None
    assert files == sorted(column)
    if crops is None:
        assert column == ["2.bmp", "0.bmp"]
        original = (tmp_path / "photos" / str(split.origins[2])).read_bytes()
        assert (tmp_path / "out" / "2.bmp").read_bytes() == original
    else:
        assert column == ["2.png", "0.png"]


def test_sounds_are_written_as_the_model_hears_them(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    (tmp_path / "sounds").mkdir()
    for number in range(3):
        tone = np.full(50, (number + 1) / 8)
        soundfile.write(tmp_path / "sounds" / f"s{number}.wav", tone, 1000)
    data = Audio(path=tmp_path / "sounds", sample_rate=1000, seconds=0.1, channel=True, fractions={"test": 1.0})
    split, column, files = shown(data, tmp_path / "out")
    assert (column, files) == (["2.wav", "0.wav"], ["0.wav", "2.wav"])
    found, rate = soundfile.read(tmp_path / "out" / "2.wav")
    assert rate == 1000
    np.testing.assert_allclose(found, split.arrays["audio"][2, 0], atol=1e-4)


def test_texts_are_shown_whole_in_a_column(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    long = "very " * 200 + "good"
    data = texts(tmp_path, f'text\n"{long}"\n\n"w1, bad"\nw2\n', fractions={"test": 1.0})
    split, column, files = shown(data, tmp_path / "out")
    assert files == []
    assert split.origins is not None
    by_line = {2: long, 4: "w1, bad", 5: "w2"}
    assert column == [by_line[split.origins[2]], by_line[split.origins[0]]]
