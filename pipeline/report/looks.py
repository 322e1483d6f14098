"""What the examples that a report names look like: small pictures and texts, kept beside the run's samples."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.folders.writing import write_whole
from pipeline.results.report import Report

FILE = "examples.json"
Show = Callable[[Sequence[int], Path], Mapping[str, Sequence[str]]]
"""Writes the examples at these places into a folder, and tells what a table says of each, by column."""
_PICTURES = "file"
"""The column that names files; every other one has what it shows in words."""
_DATA = "data:image/"
_WIDEST_PX = 64
_LONGEST = 300
"""The characters of a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One example: a picture as a data URI, or a text."""

    picture: str = ""
    text: str = ""


def keep_looks(report: Report, folder: Path, show: Show) -> None:
    """Write what the flipped examples that the report names look like; nothing where it names none."""
    places = sorted({flip.example for row in report.flips for flip in row.examples})
    if not places:
        return
    with TemporaryDirectory(prefix="slimline-examples-") as scratch:
        shown = show(places, Path(scratch))
        looks = {
            place: _look({column: texts[number] for column, texts in shown.items()}, Path(scratch))
            for number, place in enumerate(places)
        }
    write_whole(folder / FILE, json.dumps({place: asdict(look) for place, look in looks.items() if look}) + "\n")


def looks_in(folder: Path) -> dict[int, Look]:
    """What was kept in a folder, by the examples' places; empty where nothing was, or nothing that can be read."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        plain = json.loads((folder / FILE).read_text(encoding="utf-8"))
        looks = {int(place): Look(**look) for place, look in plain.items()}
        return {place: look for place, look in looks.items() if not look.picture or look.picture.startswith(_DATA)}
    return {}


def _look(told: Mapping[str, str], folder: Path) -> Look | None:
    """An example by what its data set shows of it; None where that is neither a picture nor a text."""
    if _PICTURES not in told:
        text = " ".join(told.values())
        return Look(text=text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …")
    first = told[_PICTURES].partition(" ")[0]
    picture = _small(folder / first)
    return None if picture is None else Look(picture=picture)


def _small(file: Path) -> str | None:
    """A picture's file as a small data URI; None where it is no picture, or Pillow is not installed."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        return None
    try:
        with Image.open(file) as image:
            small = image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB")
    except (UnidentifiedImageError, OSError):
        return None
    kind = "png" if max(small.size) <= _WIDEST_PX else "jpeg"  # what is small already stays as sharp as it is
    small.thumbnail((_WIDEST_PX, _WIDEST_PX))
    data = io.BytesIO()
    small.save(data, kind)
    return f"{_DATA}{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
