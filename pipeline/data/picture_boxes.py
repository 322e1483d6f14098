"""The boxes that a file tells of the pictures of a folder, and where they lie in the square that a model reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import fitted
from pipeline.data.boxes import NO_BOX
from pipeline.data.coco import Bbox, Coco, read_coco
from pipeline.data.references import METADATA, by_name, matched, read_metadata
from pipeline.data.square import Square
from pipeline.data.table import SUFFIXES, kind_of
from pipeline.errors import UserError
from pipeline.errors.names import meant

OBJECTS = "objects"
_EXAMPLE = '{"file_name": "a.png", "objects": {"bbox": [[10, 20, 30, 40]], "categories": [0]}}'
_COCO = ("instances*.json", "annotations/instances*.json", "_annotations.coco.json")
"""COCO's own names of such files, and Roboflow's."""
_FORM = "bbox is x, y, width and height in the picture's pixels"


@dataclass(frozen=True, slots=True)
class PictureBoxes:
    """The boxes of a picture."""

    boxes: NDArray[np.float64]
    """[B, 5]: x1, y1, x2, y2 in the picture's pixels, and the class."""
    where: str
    """Where they stand, for messages."""
    size: tuple[int | None, int | None] = (None, None)
    """The picture's width and height, as far as the file tells."""


@dataclass(frozen=True, slots=True)
class _Objects:
    bbox: list[Bbox]
    categories: list[int | str]


def box_files(folder: Path) -> list[Path]:
    """The files of boxes that a folder of pictures has, by their names."""
    found = [folder / name for name in METADATA if (folder / name).is_file()]
    return found + [file for pattern in _COCO for file in sorted(folder.glob(pattern))]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxFile:
    """A file that tells the boxes of pictures: COCO's format (.json), or a table with a column ``column``."""

    path: Path
    column: str = OBJECTS
    classes: tuple[str, ...] = ()
    """The classes' names in the model's order; none: COCO's categories in the order of their ids."""

    @staticmethod
    def of(folder: Path, told: Path | None, column: str, classes: tuple[str, ...]) -> BoxFile:
        """The file that was ``told``, else the only one that the folder has; raises UserError where that is none."""
        found = [told] if told is not None else box_files(folder)
        if len(found) != 1:
            has = f"several files of boxes, {', '.join(map(str, found))}" if found else "no file of boxes"
            names = "metadata.jsonl or instances*.json"
            raise UserError(f"{folder} holds {has}: type data.labels=FILE" + ("" if found else f", or name it {names}"))
        return BoxFile(path=found[0], column=column, classes=classes)

    def read(self, files: Sequence[Path], root: Path) -> tuple[list[PictureBoxes], list[str]]:
        """The boxes of each picture below ``root``, and notes; raises UserError, with the entry that is wrong."""
        where = f"data.labels={self.path}"
        if self.path.suffix.lower() in SUFFIXES:
            rows = read_metadata(self.path, self.column, _EXAMPLE)
            named: Iterator[tuple[str, PictureBoxes]] = ((name, self._of_row(cell, at)) for name, cell, at in rows)
            return matched(files, root, by_name(named, where), where)
        coco = read_coco(self.path)
        found, notes = matched(files, root, by_name(self._of_coco(coco, where), where), where)
        crowds = sum(one.iscrowd != 0 for one in coco.annotations)
        if crowds:
            notes.append(f"{crowds} crowds (iscrowd) of {where} are left out: what a model finds there counts as wrong")
        return found, notes

    def _of_row(self, cell: Any, where: str) -> PictureBoxes:
        if not isinstance(cell, Mapping):
            raise UserError(f"{where}: the column '{self.column}' holds {kind_of(cell)}: write {_EXAMPLE}")
        problems: list[str] = []
        told = {"categories" if name == "category" else name: value for name, value in cell.items()}
        objects = fitted(told, _Objects, f"{where}: {self.column}", problems)
        if problems:
            raise UserError(problems[0])
        if len(objects.bbox) != len(objects.categories):
            raise UserError(f"{where} has {len(objects.bbox)} boxes (bbox) and {len(objects.categories)} categories")
        numbers = [self._number(category, where) for category in objects.categories]
        return PictureBoxes(_corners(objects.bbox, numbers, where), where)

    def _of_coco(self, coco: Coco, where: str) -> Iterator[tuple[str, PictureBoxes]]:
        ordered = sorted(coco.categories, key=lambda category: category.id)
        numbers = {
            category.id: self._number(category.name, where) if self.classes else place
            for place, category in enumerate(ordered)
        }
        own: dict[int, list[tuple[Bbox, int]]] = {image.id: [] for image in coco.images}
        for one in coco.annotations:
            if not one.iscrowd:
                own[one.image_id].append((one.bbox, numbers[one.category_id]))
        for image in coco.images:
            at = f"{where}, image {image.file_name}"
            boxes = _corners([bbox for bbox, _ in own[image.id]], [number for _, number in own[image.id]], at)
            yield image.file_name, PictureBoxes(boxes, at, (image.width, image.height))

    def _number(self, category: int | str, where: str) -> int:
        if isinstance(category, str):
            if category in self.classes:
                return self.classes.index(category)
            asked = meant(category, self.classes) if self.classes else ""
            has = f"it has {', '.join(self.classes)}" if self.classes else "it names none"
            raise UserError(f"{where} has the category '{category}', which data.classes lacks: {asked}{has}")
        if category < 0 or (self.classes and category >= len(self.classes)):
            raise UserError(f"{where} has the category {category}: classes are counted from 0")
        return category


def _corners(bboxes: Sequence[Bbox], numbers: Sequence[int], where: str) -> NDArray[np.float64]:
    for bbox in bboxes:
        if not all(map(math.isfinite, bbox)) or min(bbox[2:]) <= 0:
            raise UserError(f"{where} has the box {list(bbox)}: {_FORM}, and these are above 0")
    found = np.array([(*bbox, number) for bbox, number in zip(bboxes, numbers, strict=True)], np.float64)
    found = found.reshape(-1, 5)
    found[:, 2:4] += found[:, :2]
    return found


@dataclass(slots=True)
class Placed:
    """The boxes of the pictures as the model sees them, as the pictures come in."""

    square: Square
    _rows: list[NDArray[np.float64]] = field(default_factory=list)
    _outside: int = 0

    def add(self, own: PictureBoxes, name: str, width: int, height: int) -> None:
        """Place the boxes of a picture of this size; raises UserError where they can't be of this picture."""
        told = tuple(mine or real for mine, real in zip(own.size, (width, height), strict=True))
        if told != (width, height):
            raise UserError(
                f"{own.where} is {told[0]} x {told[1]} pixels, and {name}, turned as its EXIF orientation says, is "
                f"{width} x {height}: its boxes are of another picture, or of one that was turned or scaled"
            )
        for box in own.boxes:
            if min(box[2:4]) <= 0 or box[0] >= width or box[1] >= height:
                bbox = [*box[:2].tolist(), *(box[2:4] - box[:2]).tolist()]
                raise UserError(f"{own.where} has the box {bbox}, outside of {name} ({width} x {height}): {_FORM}")
        placed = self.square.placed(own.boxes, width, height)
        seen = (placed[:, 2:4] > placed[:, :2]).all(axis=1)
        self._outside += int((~seen).sum())
        self._rows.append(placed[seen])

    def labels(self, where: str) -> NDArray[np.float64]:
        """The boxes [N, M, 5], with rows of ``NO_BOX`` behind the last; raises UserError where there is none."""
        most = max(map(len, self._rows), default=0)
        if not most:
            raise UserError(f"{where} has no box in the pictures that are read, so there is nothing to judge")
        found = np.full((len(self._rows), most, 5), NO_BOX)
        for row, boxes in zip(found, self._rows, strict=True):
            row[: len(boxes)] = boxes
        return found

    def notes(self) -> list[str]:
        """What to say of boxes that the model does not see."""
        if not self._outside:
            return []
        return [
            f"{self._outside} boxes are left out, since they lie outside of the square that the model reads: "
            "data.central=null shows it the whole picture"
        ]
