"""Opens pictures the way they are meant to be seen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from pipeline.data.folder import Kind
from pipeline.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

_UNREAD = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd")
PICTURES = Kind(
    many="images",
    one="image",
    suffixes=(".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    unread=_UNREAD,
)
CHANNELS = 3
"""Red, green and blue."""
_MOST_PIXELS = 178_956_970
"""What Pillow opens at most, as more is likely a bomb: 537 MB in RGB."""
_GREY_LEVELS = 256
"""Levels of 16-bit grey that become one of 8-bit grey."""


def side_of(name: str, shape: Sequence[int | None]) -> int | None:
    """The pixels of the square that a model reads as its input ``name`` [N, C, H, W] or [N, H, W, C]; None where any
    will do. Raises UserError where it reads no squares, or other channels than red, green and blue."""
    sizes = shape[1:]
    channels, sides = (sizes[2], sizes[:2]) if sizes[2] == CHANNELS != sizes[0] else (sizes[0], sizes[1:])
    fixed = {side for side in sides if side is not None}
    if channels not in (None, CHANNELS) or len(fixed) > 1:
        told = ["any" if size is None else size for size in sizes]
        raise UserError(
            f"the model reads '{name}' as [N, {', '.join(map(str, told))}], and a folder of images gives squares in "
            "red, green and blue: give the examples as an .npz file"
        )
    return next(iter(fixed), None)


def open_picture(file: Path | str, content: IO[bytes] | None = None) -> Image.Image:
    """The picture in 8-bit RGB, turned as its EXIF orientation says; raises UserError, naming the file. With
    ``content`` it is decoded from there, and ``file`` only names it."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise UserError("images need the package Pillow: pip install pillow") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a file that can be read
            with Image.open(content or file) as image:
                return _in_rgb(ImageOps.exif_transpose(image), file)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{file} has more pixels than the {_MOST_PIXELS:,} that are read at most: make it smaller, or take it out"
        ) from error
    except Exception as error:  # decoders raise what they like: SyntaxError, struct.error, zlib.error, …
        raise UserError(f"{file} can't be read as an image: {error or type(error).__name__}") from error


def _in_rgb(image: Image.Image, file: Path | str) -> Image.Image:
    from PIL import Image

    if image.mode != "F" and not image.mode.startswith("I"):
        return image.convert("RGB")
    levels = np.asarray(image)
    if image.mode == "F" or (levels.size and (levels.min() < 0 or levels.max() >= _GREY_LEVELS**2)):
        raise UserError(
            f"{file} holds grey values from {levels.min():g} to {levels.max():g}, and it is not known which are black "
            "and white: store 8 or 16 bits a pixel"
        )
    return Image.fromarray((levels // _GREY_LEVELS).astype(np.uint8)).convert("RGB")
