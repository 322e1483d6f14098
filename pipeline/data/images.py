"""Images from a folder, cut to the size that a model reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Positive
from pipeline.data.batches import Feed
from pipeline.data.dataset import Split, SplitName
from pipeline.data.folder import Folder, find_files
from pipeline.data.hashing import Divided, Partition, partition
from pipeline.data.making import MOST, Making
from pipeline.data.pictures import PICTURES, open_picture
from pipeline.data.sizes import check_memory

if TYPE_CHECKING:
    from PIL import Image

Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
"""Pillow's ways to scale an image."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""
_SMALLEST_CROP, _LARGEST_ASPECT = 0.25, 4 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Images(Divided):
    """A folder of images (jpg, png, webp, bmp, tiff, gif), searched with its subfolders, links too; Pillow reads them.

    Each is scaled so that its shorter side is ``size`` / ``central`` and its middle of ``size`` x ``size`` pixels is
    taken, in RGB: [N, 3, size, size] uint8, by the name ``input``. With ``labelled`` an image's class is the folder it
    lies in, numbered in the order of the folders' names, or in that of ``classes``. A picture is turned as its EXIF
    orientation says, the first one of an animation is taken, and 16-bit grey is scaled to 8 bits. ``crops`` takes this
    number of random crops of each image instead (a quarter of it to the whole), seeded, to judge drift with few
    photographs; crops of one image may be in several splits. The examples are split by sha256
    (``pipeline.data.hashing``).
    """

    path: Path
    size: int = 224
    central: float | None = 0.875
    """The share of the shorter side that the square shows; None: the whole image, squeezed into the square."""
    interpolation: Interpolation = "bicubic"
    input: str = "image"
    labelled: bool = False
    classes: tuple[str, ...] = ()
    """The folders' names in the order of the model's classes; none: sorted by name."""
    only: tuple[str, ...] = ()
    """The names of files, or glob patterns; none: all files."""
    crops: int | None = None
    augmentation: tuple[str, ...] = ()
    """Random changes of a training image that keep its label, for fine-tuning: flip, crop."""
    max_gb: Positive | None = None
    """The most that the images may take in memory; None: half of the memory that is free."""

    def __post_init__(self) -> None:
        Divided.__post_init__(self)
        if self.size < 1:
            raise ValueError(f"size must be at least 1 (got {self.size})")
        if self.central is not None and not 0 < self.central <= 1:
            raise ValueError(f"central must be above 0 and at most 1 (got {self.central})")
        if self.crops is not None and self.crops < 1:
            raise ValueError(f"crops must be at least 1 (got {self.crops})")

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

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where an image can't be read, NoExamples where the split gets no example."""
        whole, parts = _read(
            self.path,
            self._folder(),
            self.size,
            self.central,
            self.interpolation,
            self.input,
            self.crops,
            tuple(self.fractions.items()),
            self.max_gb,
        )
        return self.part(whole, parts, name, self.path)

    def making(self, name: SplitName) -> Making:
        """How the first images of a split come about; of several crops of an image, its middle stands for each."""
        origins = self.split(name).take(0, MOST).origins
        assert origins is not None
        prepare = partial(
            _prepared, size=self.size, central=self.central, interpolation=self.interpolation, name=self.input
        )
        return Making(sources=[self.path / origin for origin in origins], decode=open_picture, prepare=prepare)


@lru_cache(maxsize=2)
def _read(
    path: Path,
    folder: Folder,
    size: int,
    central: float | None,
    interpolation: Interpolation,
    name: str,
    crops: int | None,
    fractions: tuple[tuple[str, float], ...],
    max_gb: float | None,
) -> tuple[Split, Partition]:
    repeated = crops or 1
    shape = (len(folder.files) * repeated, 3, size, size)
    check_memory(math.prod(shape), f"the {shape[0]:,} images of {path} take", max_gb, "name fewer with data.only")
    pixels = np.empty(shape, np.uint8)
    rng = np.random.default_rng(0)
    for index, file in enumerate(folder.files):
        image = open_picture(file)
        for crop in range(repeated):
            box = _middle(image, central) if crops is None else _random_box(image, rng)
            pixels[index * repeated + crop] = _cut(image, box, size, interpolation)
    labels = None if folder.labels is None else np.repeat(np.array(folder.labels, np.int64), repeated)
    files = np.repeat([str(file.relative_to(path)) for file in folder.files], repeated)
    whole = Split({name: pixels}, labels, folder.notes, origins=files)
    return whole, partition(whole.example_hashes(), dict(fractions))


def _prepared(image: Image.Image, size: int, central: float | None, interpolation: Interpolation, name: str) -> Feed:
    return {name: _cut(image, _middle(image, central), size, interpolation)[None]}


def _middle(image: Image.Image, central: float | None) -> Box:
    if central is None:
        return 0, 0, image.width, image.height
    side = min(image.size) * central
    left, top = ((length - side) / 2 for length in image.size)
    return left, top, left + side, top + side


def _random_box(image: Image.Image, rng: np.random.Generator) -> Box:
    width, height = image.size
    area = width * height * rng.uniform(_SMALLEST_CROP, 1)
    aspect = np.exp(rng.uniform(-np.log(_LARGEST_ASPECT), np.log(_LARGEST_ASPECT)))
    across, down = min(np.sqrt(area * aspect), width), min(np.sqrt(area / aspect), height)
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    return left, top, left + across, top + down


def _cut(image: Image.Image, box: Box, size: int, interpolation: Interpolation) -> NDArray[np.uint8]:
    """[3, size, size]."""
    from PIL import Image

    scaled = image.resize((size, size), Image.Resampling[interpolation.upper()], box=box)
    return np.asarray(scaled, np.uint8).transpose(2, 0, 1)
