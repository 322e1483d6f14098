"""Boxes of a folder of pictures, from COCO's format or from metadata.jsonl: placed in the square, and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.dataset import Split
from pipeline.data.images import Images
from pipeline.errors import UserError

pytest.importorskip("PIL")

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]


def picture(path: Path, width: int = 40, height: int = 20, shade: int = 0) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (shade, 0, 0)).save(path)


def pictures(folder: Path, count: int = 2) -> None:
    for number in range(count):
        picture(folder / f"{number}.png", shade=number)


def coco(folder: Path, *annotations: dict[str, Any], names: tuple[str, ...] = ("0.png", "1.png"), **more: Any) -> Path:
    images = [{"id": place, "file_name": name, "width": 40, "height": 20} for place, name in enumerate(names)]
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES, **more}
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def box(image: int, bbox: tuple[float, ...] = (10, 5, 10, 10), category: int = 18, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "bbox": bbox, **more}


def metadata(folder: Path, *rows: Any, name: str = "metadata.jsonl") -> None:
    (folder / name).write_text("\n".join(map(json.dumps, rows)))


def row(name: str, bbox: list[Any], categories: list[Any]) -> dict[str, Any]:
    return {"file_name": name, "objects": {"bbox": bbox, "categories": categories}}


def read(folder: Path, **fields: Any) -> Split:
    fields = {"size": 20, "central": None, "label_kind": "boxes", "fractions": {"test": 1.0}, **fields}
    return Images(path=folder, **fields).split("test")


def labels_of(split: Split) -> dict[str, list[list[float]]]:
    assert split.labels is not None
    assert split.origins is not None
    return dict(zip(split.origins.tolist(), split.labels.tolist(), strict=True))


def test_boxes_of_cocos_format_are_scaled_to_the_square(tmp_path: Path) -> None:
    pictures(tmp_path)
    coco(tmp_path, box(0), box(0, (0, 0, 40, 20), 3), box(1))
    found = labels_of(read(tmp_path))
    assert found["0.png"] == [[5, 5, 10, 15, 1], [0, 0, 20, 20, 0]]  # by id: car 3, dog 18
    assert found["1.png"] == [[5, 5, 10, 15, 1], [-1] * 5]


def test_classes_give_the_models_order(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    coco(tmp_path, box(0), names=("0.png",))
    assert labels_of(read(tmp_path, classes=("dog", "N/A", "car")))["0.png"][0][4] == 0
    with pytest.raises(UserError, match=r"the category 'dog', which data\.classes lacks: did you mean 'dogs'\?"):
        read(tmp_path, classes=("car", "dogs"))


def test_a_table_tells_boxes_as_imagefolder_has_them(tmp_path: Path) -> None:
    pictures(tmp_path)
    metadata(tmp_path, row("0.png", [[10, 5, 10, 10]], ["cat"]), row("1.png", [], []))
    found = labels_of(read(tmp_path, classes=("dog", "cat")))
    assert found == {"0.png": [[5, 5, 10, 15, 1]], "1.png": [[-1] * 5]}


def test_what_the_square_does_not_show_is_cut_off_and_told(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    metadata(tmp_path, row("0.png", [[0, 0, 8, 8], [5, 0, 10, 10]], [0, 0]))
    split = read(tmp_path, central=1.0)  # shows x from 10 to 30
    assert labels_of(split)["0.png"] == [[0, 0, 5, 10, 0]]
    assert any("1 boxes are left out" in note and "data.central=null" in note for note in split.notes)


def test_crowds_and_entries_of_other_files_are_notes(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    coco(tmp_path, box(0), box(0, iscrowd=1), names=("0.png", "gone.png"))
    split = read(tmp_path)
    assert labels_of(split) == {"0.png": [[5, 5, 10, 15, 1]]}
    assert any("1 crowds (iscrowd)" in note for note in split.notes)
    assert any("1 entries of" in note and "of files that are not read" in note for note in split.notes)


def test_a_file_is_named_by_the_end_of_its_path(tmp_path: Path) -> None:
    for name in ("train/a/0.png", "train/b/0.png"):
        picture(tmp_path / name, shade=len(name) + (name[6] == "b"))
    path = coco(tmp_path, box(0), box(1, category=3), names=("a/0.png", "b/0.png"))
    assert labels_of(read(tmp_path, labels=path))["train/b/0.png"][0][4] == 0
    other = coco(tmp_path, box(0), names=("0.png",)).rename(tmp_path / "other.json")
    with pytest.raises(UserError, match=r"the entry 0\.png fits train/a/0\.png and train/b/0\.png"):
        read(tmp_path, labels=other)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"data\.labels=.*instances\.json is not JSON"),
        ("[]", r"instances\.json: COCO"),
        (json.dumps({"images": [{"id": 1}]}), r"COCO\.images\.0\.file_name: .*required"),
        (json.dumps({"images": [], "annotations": [box(7)]}), r"annotations\.0 is of image 7, and no image has that"),
    ],
)
def test_a_damaged_coco_file_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    pictures(tmp_path)
    (tmp_path / "instances.json").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("annotations", "more", "message"),
    [
        ([box(0, category=5)], {}, r"annotations\.0 is of category 5, and no category has that id"),
        ([box(0, (1, 1, 0, 5))], {}, r"image 0\.png has the box \[1\.0, 1\.0, 0\.0, 5\.0\]: bbox is x, y, width"),
        ([box(0, (50, 1, 5, 5))], {}, r"outside of .*0\.png \(40 x 20\)"),
        ([], {}, "has no box in the pictures that are read"),
        ([box(0)], {"names": ("0.png",)}, r"has no entry for 1\.png of the 2 files"),
        ([box(0)], {"names": ("0.png", "1.png", "1.png")}, r"has two entries for 1\.png"),
        ([box(0)], {"categories": [*CATEGORIES, {"id": 3, "name": "van"}]}, "two categories have the id 3"),
        (
            [box(0)],
            {"images": [{"id": n, "file_name": f"{n}.png", "width": 20, "height": 40} for n in (0, 1)]},
            r"image 0\.png is 20 x 40 pixels, and .*0\.png, turned .*, is 40 x 20",
        ),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, annotations: list[Any], more: dict[str, Any], message: str) -> None:
    pictures(tmp_path)
    coco(tmp_path, *annotations, **more)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ({"file_name": "0.png"}, r"line 1: the column 'objects' holds null"),
        ({"objects": {}}, r"line 1 has no 'file_name'"),
        (row("0.png", [[1, 2, 3, 4]], []), r"line 1 has 1 boxes \(bbox\) and 0 categories"),
        (row("0.png", [[1, 2, 3]], [0]), r"line 1: objects\.bbox\.0"),
        (row("0.png", [[1, 2, 3, 4]], ["cat"]), r"line 1 has the category 'cat', which data\.classes lacks"),
        (row("0.png", [[1, 2, 3, 4]], [-1]), "classes are counted from 0"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, first: dict[str, Any], message: str) -> None:
    pictures(tmp_path)
    metadata(tmp_path, first, row("1.png", [[1, 2, 3, 4]], [0]))
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_the_file_must_be_one_that_is_there(tmp_path: Path) -> None:
    pictures(tmp_path)
    with pytest.raises(UserError, match=r"no file of boxes: type data\.labels=FILE, or name it metadata\.jsonl"):
        read(tmp_path)
    with pytest.raises(UserError, match=r"data\.labels=.*gone\.json can't be read"):
        read(tmp_path, labels=tmp_path / "gone.json")
    path = coco(tmp_path, box(0))
    metadata(tmp_path, row("0.png", [], []))
    with pytest.raises(UserError, match="several files of boxes"):
        read(tmp_path)
    assert labels_of(read(tmp_path, labels=path))["0.png"] == [[5, 5, 10, 15, 1]]


@pytest.mark.parametrize("fields", [{"labelled": True}, {"crops": 2}])
def test_boxes_go_with_neither_class_folders_nor_crops(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="label_kind=boxes takes boxes from a file"):
        Images(path=tmp_path, label_kind="boxes", **fields)


def test_the_middle_of_a_picture_holds_its_boxes_where_its_pixels_are(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[6:18, 20:32] = 255
    Image.fromarray(pixels).save(tmp_path / "0.png")
    metadata(tmp_path, row("0.png", [[20, 6, 12, 12]], [0]))
    split = read(tmp_path, size=60, central=1.0, interpolation="nearest")
    (x1, y1, x2, y2, _), *_ = labels_of(split)["0.png"]
    bright = split.arrays["image"][0, 0] > 0
    assert bright[int(y1) : int(y2), int(x1) : int(x2)].all()
    assert bright.sum() == (y2 - y1) * (x2 - x1)
