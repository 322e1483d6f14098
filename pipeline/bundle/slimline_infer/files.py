"""A user's files as raw arrays: .npz and .npy files, images, and folders of images."""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .values import Arrays, Entry, InputError, first_line, printable

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
ARRAYS = (".npz", ".npy")
_NOT_OURS = "__MACOSX"
_GREY_LEVELS = 256
"""Levels of 16-bit grey that become one of 8-bit grey."""
logger = logging.getLogger(__name__)


def read(files: Sequence[Path], inputs: Sequence[Entry]) -> tuple[Arrays | NDArray[Any], list[str] | None]:
    """The raw arrays of the files, and each example's file where the files are images.

    Raises InputError where a file can't be read, or is none that the model takes.
    """
    images = [path for file in files for path in _images(file)]
    if images:
        if len(images) < len(files) and any(_suffix(file) in ARRAYS for file in files):
            raise InputError("give arrays or images, not both")
        return read_images(images, inputs), [str(path) for path in images]
    if len(files) > 1:
        raise InputError(f"give one .npz or .npy file, or images (got {len(files)} files)")
    return read_arrays(files[0]), None


def read_arrays(path: Path) -> Arrays | NDArray[Any]:
    """The arrays of a .npz file by name, or the array of a .npy file; raises InputError where it can't be read."""
    if not path.is_file():
        raise InputError(f"{printable(path)} does not exist, or is not a file")
    try:
        loaded = np.load(path, allow_pickle=False)
        return loaded if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{printable(path)} can't be read as a .npy or .npz file, nor as an image: {first_line(error)}"
        ) from error


def read_images(paths: Sequence[Path], inputs: Sequence[Entry]) -> Arrays:
    """The images as the raw array of the model's only input, prepared as the manifest says.

    Raises InputError where the model takes no images, or one can't be read.
    """
    recipe = inputs[0].get("image") if len(inputs) == 1 else None
    if recipe is None:
        raise InputError("this model does not take images: give a .npz or .npy file")
    if not recipe["known"]:
        logger.warning(
            "images are cut to the middle and scaled; how the model's own data was made of images is not known"
        )
    return {inputs[0]["name"]: np.stack([read_image(path, recipe) for path in paths])}


def read_image(path: Path, recipe: Mapping[str, Any]) -> NDArray[np.uint8]:
    """One image: turned as its EXIF orientation says, its middle scaled to the recipe's size, as [C, H, W] or
    [H, W, C] bytes."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise InputError("images need the package Pillow: pip install pillow") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a file that can be read
            with Image.open(path) as file:
                image = _in_bytes(ImageOps.exif_transpose(file)).convert(recipe["mode"])
    except Exception as error:
        raise InputError(f"{printable(path)} can't be read as an image: {first_line(error)}") from error
    size = (recipe["width"], recipe["height"])
    way = Image.Resampling[recipe.get("interpolation", "bicubic").upper()]
    pixels = np.asarray(image.resize(size, way, box=_middle(image.size, recipe)), np.uint8)
    pixels = pixels.reshape(recipe["height"], recipe["width"], -1)
    return pixels.transpose(2, 0, 1) if recipe["layout"] == "chw" else pixels


def _in_bytes(image: Any) -> Any:
    """16-bit grey scaled to 8 bits; other images as they are."""
    from PIL import Image

    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    levels = np.asarray(image)
    if image.mode == "F" or (levels.size and (levels.min() < 0 or levels.max() >= _GREY_LEVELS**2)):
        raise ValueError("its grey values have neither 8 nor 16 bits")
    return Image.fromarray((levels // _GREY_LEVELS).astype(np.uint8))


def _middle(size: tuple[int, int], recipe: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """The box to take: as large as the image lets the recipe's shape be, times ``central``; all where that is None."""
    width, height = size
    if recipe["central"] is None:
        return 0, 0, width, height
    scale = min(width / recipe["width"], height / recipe["height"]) * recipe["central"]
    across, down = recipe["width"] * scale, recipe["height"] * scale
    left, top = (width - across) / 2, (height - down) / 2
    return left, top, left + across, top + down


def _images(path: Path) -> list[Path]:
    """The image that a path is, or those in the folder that it is, by name; nothing for other files."""
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if _suffix(file) in IMAGES and _is_ours(file, path))
        if not found:
            raise InputError(f"{printable(path)} holds no images ({', '.join(IMAGES)})")
        return found
    return [path] if _suffix(path) in IMAGES and path.is_file() else []


def _is_ours(file: Path, folder: Path) -> bool:
    """Neither hidden nor what Finder leaves in archives."""
    parts = file.relative_to(folder).parts
    return file.is_file() and not any(part.startswith(".") or part == _NOT_OURS for part in parts)


def _suffix(path: Path) -> str:
    return path.suffix.lower()
