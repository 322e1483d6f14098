"""Finds the pictures of a folder, and opens one the way it is meant to be seen."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UserError
from pipeline.patterns import matches

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_UNREAD = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd")
"""Pictures too, which are not read."""
_SHOWN = 3
_NOT_OURS = "__MACOSX"
_MOST_PIXELS = 178_956_970
"""What Pillow opens at most, as more is likely a bomb: 537 MB in RGB."""
_GREY_LEVELS = 256
"""Levels of 16-bit grey that become one of 8-bit grey."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The pictures of a folder, the class of each, the classes' names, and the files that were left out."""

    files: tuple[Path, ...]
    labels: tuple[int, ...] | None
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def find_pictures(path: Path, only: Sequence[str], labelled: bool, classes: Sequence[str]) -> Folder:
    """All pictures below ``path`` whose names match ``only``, in the order of their paths.

    Hidden files and folders, and what Finder leaves in archives, are not looked at. With ``labelled``, the name of a
    picture's folder gives its class: its place in ``classes``, or else in the order of all such names. Raises UserError
    where there are no pictures, one lies beside the class folders, or the classes' numbers would not be sure.
    """
    if not path.is_dir():
        raise UserError(f"data.path={path} is no folder: give a folder of images")
    every = sorted(_walk(path, ()))
    pictures = [file for file in every if file.suffix.lower() in SUFFIXES]
    notes = _unread(every)
    names: tuple[str, ...] = ()
    if labelled:
        stray = [file for file in pictures if file.parent == path]
        pictures = [file for file in pictures if file.parent != path]
        if stray:
            shown = ", ".join(file.name for file in stray[:_SHOWN]) + (", …" if len(stray) > _SHOWN else "")
            beside = "beside the class folders" if pictures else "and no folder for each class"
            raise UserError(
                f"data.labelled=true takes an image's class from its folder, and {path} holds {shown} {beside}: move "
                "it into its class's folder, or out of here"
            )
        names = _class_names(path, pictures, classes)
    chosen = [file for file in pictures if matches(file.name, only)] if only else pictures
    if not chosen:
        wanted = f"data.only={list(only)} names" if only else f"data.path={path} holds"
        raise UserError(f"{wanted} no images ({', '.join(SUFFIXES)})")
    numbers = {name: number for number, name in enumerate(names)}
    labels = tuple(numbers[file.parent.name] for file in chosen) if labelled else None
    return Folder(tuple(chosen), labels, names, tuple(notes))


def open_picture(file: Path) -> Image.Image:
    """The picture in 8-bit RGB, turned as its EXIF orientation says; raises UserError, naming the file."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise UserError("images need the package Pillow: pip install pillow") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a file that can be read
            with Image.open(file) as image:
                return _in_rgb(ImageOps.exif_transpose(image), file)
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(
            f"{file} has more pixels than the {_MOST_PIXELS:,} that are read at most: make it smaller, or take it out "
            "of the folder"
        ) from error
    except Exception as error:  # decoders raise what they like: SyntaxError, struct.error, zlib.error, …
        raise UserError(f"{file} can't be read as an image: {error or type(error).__name__}") from error


def _in_rgb(image: Image.Image, file: Path) -> Image.Image:
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


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """The regular files below a folder, through links, but not round in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in folder.iterdir():
        if entry.name.startswith(".") or entry.name == _NOT_OURS:
            continue
        if entry.is_dir():
            yield from _walk(entry, (*above, real))
        elif entry.is_file():
            yield entry


def _class_names(path: Path, pictures: Sequence[Path], told: Sequence[str]) -> tuple[str, ...]:
    folders = {file.parent for file in pictures}
    names = sorted({folder.name for folder in folders})
    if told:
        unknown = [name for name in names if name not in told]
        if unknown:
            raise UserError(f"data.classes lacks the folder '{unknown[0]}' of {path}; it has {', '.join(told)}")
        return tuple(told)
    empty = sorted(
        entry
        for parent in {folder.parent for folder in folders}
        for entry in parent.iterdir()
        if entry.is_dir() and _is_empty(entry, folders)
    )
    if empty:
        raise UserError(
            f"{empty[0]} lies among the class folders and holds no images, so the classes' numbers are not sure: "
            f"remove it, or name the folders in the model's order with data.classes=[{','.join(names)}]"
        )
    return tuple(names)


def _is_empty(entry: Path, folders: set[Path]) -> bool:
    if entry.name.startswith(".") or entry.name == _NOT_OURS:
        return False
    return not any(folder == entry or entry in folder.parents for folder in folders)


def _unread(files: Sequence[Path]) -> list[str]:
    kinds = Counter(file.suffix.lower() for file in files if file.suffix.lower() in _UNREAD)
    return [
        f"{count} {kind} file{'s' if count > 1 else ''} left out: only {', '.join(SUFFIXES)} are read"
        for kind, count in sorted(kinds.items())
    ]
