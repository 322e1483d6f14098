"""Images from a folder: cut, labelled by folder, split, and what is refused."""

from __future__ import annotations

import zlib
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
    assert split.arrays["image"][0, :, 0, 0].tolist() == [10, 20, 30]
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
    pixels = Images(path=tmp_path, size=4, fractions={"test": 1.0}).split("test").arrays["image"]
    assert pixels.shape == (20, 3, 4, 4)


def test_what_is_no_image_or_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        Images(path=tmp_path / "nowhere").split("test")
    with pytest.raises(UserError, match="holds no images"):
        Images(path=tmp_path).split("test")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"broken.png can't be read as an image"):
        Images(path=tmp_path).split("test")


def test_16_bit_grey_keeps_its_levels(tmp_path: Path) -> None:
    for number in range(20):
        save(tmp_path / f"{number}.png", np.full((8, 8), 1000 * (number + 1), np.uint16))
    pixels = Images(path=tmp_path, size=4, fractions={"test": 1.0}).split("test").arrays["image"]
    assert sorted(pixels[:, 0, 0, 0].tolist()) == [1000 * (number + 1) // 256 for number in range(20)]


def test_grey_values_of_unknown_range_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "depth.tif", np.full((8, 8), 0.5, np.float32))
    with pytest.raises(UserError, match=r"depth.tif holds grey values from 0.5 to 0.5"):
        Images(path=tmp_path, size=4).split("test")


def test_a_picture_is_turned_as_its_exif_orientation_says(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    (image,) = Images(path=tmp_path, size=8, central=1.0, fractions={"test": 1.0}).split("test").arrays["image"]
    assert image[0, 4].tolist() == [0] * 4 + [255] * 4


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "LA", "RGBA"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    from PIL import Image

    suffix = "tif" if mode == "CMYK" else "png"
    Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).convert(mode).save(tmp_path / f"white.{suffix}")
    pixels = Images(path=tmp_path, size=4, fractions={"test": 1.0}).split("test").arrays["image"]
    assert (pixels == 255).all()


def test_the_first_picture_of_an_animation_is_taken(tmp_path: Path) -> None:
    from PIL import Image

    first, second = (Image.new("RGB", (8, 8), (level, level, level)) for level in (0, 255))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    assert not Images(path=tmp_path, size=4, fractions={"test": 1.0}).split("test").arrays["image"].any()


def test_a_linked_class_folder_counts_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    noise(tmp_path / "elsewhere", 8, classes=1)
    noise(tmp_path / "photos", 8, classes=1)
    (tmp_path / "photos" / "cat").symlink_to(tmp_path / "elsewhere" / "class0")
    (tmp_path / "photos" / "class0" / "circle").symlink_to(tmp_path / "photos")
    assert Images(path=tmp_path / "photos", labelled=True).class_names == ("cat", "class0")


def test_what_systems_leave_beside_pictures_is_not_looked_at(tmp_path: Path) -> None:
    noise(tmp_path, 8)
    for name in ("class0/._0.png", "class0/.DS_Store", "Thumbs.db", "__MACOSX/0.png", ".hidden/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    data = Images(path=tmp_path, size=4, labelled=True, fractions={"test": 1.0})
    assert len(data.split("test")) == 8
    assert data.class_names == ("class0", "class1")


def test_pictures_and_folders_without_a_class_are_refused_by_name(tmp_path: Path) -> None:
    noise(tmp_path, 8)
    (tmp_path / "birds").mkdir()
    with pytest.raises(UserError, match=r"birds lies among the class folders .*data\.classes=\[class0,class1\]"):
        Images(path=tmp_path, labelled=True).split("test")
    assert Images(path=tmp_path, labelled=True, classes=("class1", "class0")).class_names == ("class1", "class0")
    save(tmp_path / "cover.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"holds cover\.png beside the class folders"):
        Images(path=tmp_path, labelled=True).split("test")


def test_a_pattern_renumbers_no_class(tmp_path: Path) -> None:
    noise(tmp_path, 8)
    save(tmp_path / "class1" / "chosen.png", np.zeros((8, 8, 3), np.uint8))
    split = Images(path=tmp_path, size=4, labelled=True, only=("chosen*",), fractions={"test": 1.0}).split("test")
    assert split.labels is not None
    assert split.labels.tolist() == [1]


def test_pictures_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    save(tmp_path / "ok.png", np.zeros((64, 64, 3), np.uint8))
    content = (tmp_path / "ok.png").read_bytes()
    for name, damaged in {
        "cut.png": content[:-30],
        "chunk.png": content.replace(b"IDAT", b"IDAX"),
        "bomb.png": _claiming(content, 30_000),
    }.items():
        folder = tmp_path / name.removesuffix(".png")
        folder.mkdir()
        (folder / name).write_bytes(damaged)
        with pytest.raises(UserError, match=name):
            Images(path=folder, size=4).split("test")


def _claiming(content: bytes, side: int) -> bytes:
    """A PNG whose header says that it is ``side`` pixels wide and high."""
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + content[24:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4, "big") + content[33:]
