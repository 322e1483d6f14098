"""Images from a folder, cut to the size that a model reads."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Positive
from pipeline.data.adapted import picture_input, side
from pipeline.data.batches import Feed
from pipeline.data.dataset import Split, SplitName
from pipeline.data.fitted import Wanted
from pipeline.data.folder import Folder, find_files
from pipeline.data.hashing import Divided, Partition, partition
from pipeline.data.making import MOST, Making
from pipeline.data.picture_boxes import OBJECTS, BoxFile, PictureBoxes, Placed
from pipeline.data.pictures import PICTURES, open_picture
from pipeline.data.showing import show_arrays
from pipeline.data.sizes import check_room
from pipeline.data.spool import Spool
from pipeline.data.square import CENTRAL, SIZE, Box, Interpolation, Square, check_square

if TYPE_CHECKING:
    from PIL import Image

_SMALLEST_CROP, _LARGEST_ASPECT = 0.25, 4 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Images(Divided):
    """A folder of images (jpg, png, webp, bmp, tiff, gif), searched with its subfolders, links too; Pillow reads them.

    Each is scaled so that its shorter side is ``size`` / ``central`` and its middle of ``size`` x ``size`` pixels is
    taken, in RGB: [N, 3, size, size] uint8, by the name ``input``. With ``labelled`` an image's class is the folder it
    lies in, numbered in the order of the folders' names, or in that of ``classes``. With ``label_kind: boxes`` the
    labels are boxes in the square's pixels, from a file (``pipeline.data.picture_boxes``). A picture is turned as its
    EXIF orientation says, the first one of an animation is taken, and 16-bit grey is scaled to 8 bits. ``crops`` takes
    this number of random crops of each image instead (a quarter of it to the whole), seeded, to judge drift with few
    photographs; crops of one image may be in several splits. The examples are split by sha256
    (``pipeline.data.hashing``).
    """

    path: Path
    size: int | None = None
    """The pixels of the square; None: what the model reads, and 224 where that is any."""
    central: float | None = CENTRAL
    """The share of the shorter side that the square shows; None: the whole image, squeezed into the square."""
    interpolation: Interpolation = "bicubic"
    input: str = "image"
    labelled: bool = False
    classes: tuple[str, ...] = ()
    """The names of the folders, or of the boxes' classes, in the model's order; none: folders are sorted by name."""
    label_kind: Literal["classes", "boxes"] = "classes"
    """What the labels are; boxes are for a metric that takes them."""
    labels: Path | None = None
    """The file of the boxes; None: the one that the folder has."""
    label_column: str = OBJECTS
    """The column of the boxes, where their file is a table."""
    only: tuple[str, ...] = ()
    """The names of files, or glob patterns; none: all files."""
    crops: int | None = None
    augmentation: tuple[str, ...] = ()
    """Random changes of a training image that keep its label, for fine-tuning: flip, crop."""
    max_gb: Positive | None = None
    """The most that the images may take; None: what the disk of temporary files has room for."""

    def __post_init__(self) -> None:
        Divided.__post_init__(self)
        check_square(self.size, self.central)
        if self.crops is not None and self.crops < 1:
            raise ValueError(f"crops must be at least 1 (got {self.crops})")
        if self.label_kind == "boxes" and (self.labelled or self.crops is not None):
            other = "labelled=true takes classes from folders" if self.labelled else "crops have no boxes"
            raise ValueError(f"label_kind=boxes takes boxes from a file, and {other}: give one of the two")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the folders, where the images are labelled."""
        return self._folder().classes if self.labelled else ()

    def _folder(self) -> Folder:
        return find_files(self.path, PICTURES, self.only, self.labelled, self.classes)

    def _boxes(self) -> BoxFile | None:
        if self.label_kind != "boxes":
            return None
        return BoxFile.of(self.path, self.labels, self.label_column, self.classes)

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where an image can't be read, NoExamples where the split gets no example."""
        reading = _Reading(
            path=self.path,
            folder=self._folder(),
            square=self._square,
            input=self.input,
            crops=self.crops,
            boxes=self._boxes(),
            max_gb=self.max_gb,
        )
        whole, parts = _read(reading, tuple(self.fractions.items()))
        return self.part(whole, parts, name, self.path)

    def making(self, name: SplitName) -> Making:
        """How the first images of a split come about; of several crops of an image, its middle stands for each."""
        origins = self.split(name).take(0, MOST).origins
        assert origins is not None
        prepare = partial(_prepared, square=self._square, name=self.input)
        return Making(sources=[self.path / origin for origin in origins], decode=open_picture, prepare=prepare)

    @property
    def _square(self) -> Square:
        return Square(size=self.size or SIZE, central=self.central, interpolation=self.interpolation)

    def adapted(self, inputs: Mapping[str, Wanted], beside: Path | None) -> Images:
        """The images in the size, and by the name, that a model reads."""
        name = picture_input(inputs, self.input)
        return replace(self, input=name, size=self.size or side(inputs, name) or SIZE)

    def show(self, examples: Split, names: Sequence[str], folder: Path) -> Mapping[str, Sequence[str]]:
        """Copies of the files; crops are written as PNG."""
        if self.crops is not None or examples.origins is None:
            return show_arrays(examples, names, folder)
        found = []
        for name, origin in zip(names, examples.origins.tolist(), strict=True):
            found.append(f"{name}{Path(origin).suffix.lower()}")
            shutil.copyfile(self.path / origin, folder / found[-1])
        return {"file": found}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    path: Path
    folder: Folder
    square: Square
    input: str
    crops: int | None
    boxes: BoxFile | None
    max_gb: float | None

    def cut(self, image: Image.Image, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
        """What the model reads of a picture: its middle, or random crops."""
        if self.crops is None:
            yield self.square.middle(image)
            return
        for _ in range(self.crops):
            yield self.square.cut(image, _random_box(image, rng))


@lru_cache(maxsize=2)
def _read(reading: _Reading, fractions: tuple[tuple[str, float], ...]) -> tuple[Split, Partition]:
    folder, path, size = reading.folder, reading.path, reading.square.size
    repeated = reading.crops or 1
    shape = (len(folder.files) * repeated, 3, size, size)
    check_room(math.prod(shape), f"the {shape[0]:,} images of {path} take", reading.max_gb, "name fewer with data.only")
    told, notes = _boxes(reading)
    pixels, placed = Spool(), Placed(reading.square)
    rng = np.random.default_rng(0)
    for place, file in enumerate(folder.files):
        image = open_picture(file)
        if told is not None:
            placed.add(told[place], str(file), image.width, image.height)
        for cut in reading.cut(image, rng):
            pixels.add(cut[None])
    files = np.repeat([str(file.relative_to(path)) for file in folder.files], repeated)
    whole = Split(
        {reading.input: pixels.array()},
        _classes(folder, repeated) if reading.boxes is None else placed.labels(f"data.labels={reading.boxes.path}"),
        (*folder.notes, *notes, *placed.notes()),
        origins=files,
    )
    return whole, partition(whole.example_hashes(), dict(fractions))


def _boxes(reading: _Reading) -> tuple[list[PictureBoxes] | None, list[str]]:
    """The boxes of each file, where they are asked for, and notes."""
    return (None, []) if reading.boxes is None else reading.boxes.read(reading.folder.files, reading.path)


def _classes(folder: Folder, repeated: int) -> NDArray[np.int64] | None:
    return None if folder.labels is None else np.repeat(np.array(folder.labels, np.int64), repeated)


def _prepared(image: Image.Image, square: Square, name: str) -> Feed:
    return {name: square.middle(image)[None]}


def _random_box(image: Image.Image, rng: np.random.Generator) -> Box:
    width, height = image.size
    area = width * height * rng.uniform(_SMALLEST_CROP, 1)
    aspect = np.exp(rng.uniform(-np.log(_LARGEST_ASPECT), np.log(_LARGEST_ASPECT)))
    across, down = min(np.sqrt(area * aspect), width), min(np.sqrt(area / aspect), height)
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    return left, top, left + across, top + down
