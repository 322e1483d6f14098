"""Images from a folder: cut, labelled by folder, split, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.hashing import SPLITS
from pipeline.data.images import Images
from pipeline.errors import UserError
from pipeline.measure.accuracy import assert_disjoint

pytest.importorskip("PIL")


def save(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def noise(folder: Path, count: int, classes: int = 2) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        save(folder / f"class{number % classes}" / f"{number}.png", rng.integers(0, 256, (12, 16, 3), np.uint8))


def test_the_middle_is_taken_as_it_is_where_the_size_fits(tmp_path: Path) -> None:
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:, 2:10] = [10, 20, 30]
    for number in range(20):
        save(tmp_path / f"{number}.png", pixels)
    split = Images(path=tmp_path, size=8, central=1.0, fractions={"test": 1.0}).split("test")
    assert split.inputs["image"].shape == (20, 3, 8, 8)
    assert split.inputs["image"][0, :, 0, 0].tolist() == [10, 20, 30]
    assert split.labels is None


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    noise(tmp_path, 100)
    data = Images(path=tmp_path, size=8, labelled=True)
    splits = {name: data.split(name) for name in SPLITS}
    assert_disjoint(splits)
    labels = np.concatenate([split.labels for split in splits.values() if split.labels is not None])
    assert np.bincount(labels).tolist() == [50, 50]
    assert data.class_names == ("class0", "class1")


def test_crops_make_many_examples_of_few_images_the_same_each_time(tmp_path: Path) -> None:
    noise(tmp_path, 3)
    first, second = (
        Images(path=tmp_path, size=8, crops=20, fractions={"test": 1.0, "train": second}).split("test")
        for second in (0.0, 0)
    )
    assert len(first) == 60
    assert first.digest() == second.digest()
    assert len(set(first.example_hashes())) == 60


def test_grey_images_are_read_in_rgb(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / f"{number}.jpg", np.full((8, 8), 100, np.uint8))
    pixels = Images(path=tmp_path, size=4, fractions={"test": 1.0}).split("test").inputs["image"]
    assert pixels.shape == (20, 3, 4, 4)


def test_what_is_no_image_or_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        Images(path=tmp_path / "nowhere").split("test")
    with pytest.raises(UserError, match="holds no images"):
        Images(path=tmp_path).split("test")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"broken.png can't be read as an image"):
        Images(path=tmp_path).split("test")
