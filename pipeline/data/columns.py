"""Reads the columns of a Hugging Face data set as a model's inputs and its labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.pictures import open_picture
from pipeline.data.rows import Array
from pipeline.data.spool import Spool
from pipeline.data.square import Square
from pipeline.data.tokens import Tokens, encoder_of
from pipeline.errors import UserError, first_line

_ROWS_AT_ONCE = 256
_LABELS = ("label", "labels")
WHOLE = ""
"""The name of the only split of a set that has none."""


@lru_cache(maxsize=2)
def load(path: Path) -> Mapping[str, Any]:
    """The ``datasets.Dataset`` of each split that a folder holds, memory-mapped; raises UserError where it is no such
    folder."""
    try:
        from datasets import DatasetDict, load_from_disk
    except ImportError as error:
        raise UserError(
            f"data.path={path} is read with the package datasets, which is not installed: install the extra "
            "hugging-face (pip install datasets)"
        ) from error
    if not path.is_dir():
        raise UserError(f"data.path={path} is no folder: give one that Dataset.save_to_disk wrote")
    try:
        found = load_from_disk(str(path))
    except Exception as error:  # pyarrow, json and the library itself raise what they like
        raise UserError(
            f"data.path={path} can't be read as a folder that Dataset.save_to_disk wrote: {first_line(error)}"
        ) from error
    return dict(found) if isinstance(found, DatasetDict) else {WHOLE: found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns are read, and how."""

    text: str
    label: str | None
    tokenizer: Path | None
    length: int
    token_inputs: tuple[str, str]
    square: Square
    image_input: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What the columns of a set are."""

    label: str | None
    names: tuple[str, ...]
    """The classes' names, where the labels have any."""
    image: str | None
    text: str | None
    arrays: Mapping[str, np.dtype[Any]]
    """Columns of numbers, with their types: inputs by their own names."""
    unread: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """All columns that are read."""
        return (*self.arrays, *(name for name in (self.label, self.image, self.text) if name is not None))


def roles_of(features: Mapping[str, Any], columns: Columns, path: Path) -> Roles:
    """Tell the columns apart by their types; raises UserError where it is not clear which one is meant."""
    label = _label_column(features, columns.label, path)
    kinds = {name: type(feature).__name__ for name, feature in features.items() if name != label}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    texts = [name for name in kinds if getattr(features[name], "dtype", None) in ("string", "large_string")]
    arrays = {name: dtype for name in kinds if (dtype := _number_type(features[name])) is not None}
    image = _chosen(images, columns.image_input, "of images", "save the set with one of them", path)
    advice = f"type data.text_column={texts[0]}" if texts else ""
    text = None if columns.tokenizer is None else _chosen(texts, columns.text, "of texts", advice, path)
    names = () if label is None else tuple(getattr(features[label], "names", None) or ())
    unread = tuple(name for name in kinds if name not in (image, text, *arrays))
    return Roles(label=label, names=names, image=image, text=text, arrays=arrays, unread=unread)


def _label_column(features: Mapping[str, Any], named: str | None, path: Path) -> str | None:
    """The column that was named, or else the only column of classes, or one that is called so."""
    if named is None or named in features:
        return named
    if named not in _LABELS:
        raise UserError(
            f"data.path={path} has no column '{named}' (data.label_column); it has {', '.join(features)}; "
            "data.label_column=null reads no labels"
        )
    classes = [name for name, feature in features.items() if type(feature).__name__ == "ClassLabel"]
    called = [name for name in _LABELS if name in features]
    if len(classes) > 1 and not called:
        raise UserError(
            f"data.path={path} has several columns of classes, {', '.join(classes)}: type "
            f"data.label_column={classes[0]}"
        )
    return next(iter([*called, *classes]), None)


def _chosen(found: Sequence[str], named: str, what: str, advice: str, path: Path) -> str | None:
    if named in found:
        return named
    if len(found) > 1:
        raise UserError(
            f"data.path={path} has several columns {what}, {', '.join(found)}, and none named '{named}': {advice}"
        )
    return next(iter(found), None)


def _number_type(feature: Any) -> np.dtype[Any] | None:
    """The type of a column of numbers, or of arrays of them; None for any other, classes included."""
    if type(feature).__name__ == "ClassLabel":
        return None
    while hasattr(feature, "feature"):
        feature = feature.feature
    try:
        found = np.dtype(getattr(feature, "dtype", "object"))
    except TypeError:
        return None
    return found if found.kind in "iufb" else None


@dataclass(slots=True, kw_only=True)
class Reader:
    """The examples of a set, as its splits come in."""

    path: Path
    columns: Columns
    roles: Roles
    notes: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    pixels: Spool = field(default_factory=Spool)
    arrays: dict[str, Spool] = field(default_factory=dict)
    tokens: Tokens | None = None

    def __post_init__(self) -> None:
        self.arrays = {name: Spool() for name in self.roles.arrays}
        if self.roles.text is not None and self.columns.tokenizer is not None:
            self.tokens = Tokens(encoder_of(self.columns.tokenizer, self.columns.length))
        if self.roles.unread:
            self.notes.append(f"columns that are not read: {', '.join(self.roles.unread)}")

    def add(self, split: str, data: Any) -> None:
        """Put the examples of a split behind the others; raises UserError, with the row, where one can't be read."""
        for start in range(0, len(data), _ROWS_AT_ONCE):
            stop = min(start + _ROWS_AT_ONCE, len(data))
            places = [f"{split} {row}".strip() for row in range(start, stop)]
            self.origins += places
            self._add_labels(data, start, stop)
            self._add_images(data, start, places)
            self._add_texts(data, start, places)
            self._add_arrays(data, start, stop)

    def inputs(self) -> dict[str, Array]:
        """The inputs [N, ...] by name; raises UserError where no column gives any."""
        found = {name: spool.array() for name, spool in self.arrays.items()}
        if self.roles.image is not None:
            found[self.columns.image_input] = self.pixels.array()
        if self.tokens is not None:
            found |= dict(zip(self.columns.token_inputs, self.tokens.arrays(), strict=True))
        if not found:
            texts = "; texts need the model's tokenizer: data.tokenizer=FILE" if self.columns.tokenizer is None else ""
            raise UserError(
                f"data.path={self.path} has no column that a model reads (numbers, images or texts); it has "
                f"{', '.join(self.roles.unread) or 'none'}{texts}"
            )
        return found

    def _add_labels(self, data: Any, start: int, stop: int) -> None:
        if self.roles.label is not None:
            self.labels += _rows(data, self.roles.label, start, stop)

    def _add_images(self, data: Any, start: int, places: Sequence[str]) -> None:
        column = self.roles.image
        if column is None:
            return
        from datasets import Image

        encoded = data.select_columns([column]).cast_column(column, Image(decode=False))
        for where, cell in self._cells(encoded, column, start, places):
            content = None if cell["bytes"] is None else BytesIO(cell["bytes"])
            picture = open_picture(cell["path"] if content is None else where, content)
            self.pixels.add(self.columns.square.middle(picture)[None])

    def _add_texts(self, data: Any, start: int, places: Sequence[str]) -> None:
        if self.tokens is not None and self.roles.text is not None:
            self.tokens.add([cell for _, cell in self._cells(data, self.roles.text, start, places)])

    def _cells(self, data: Any, column: str, start: int, places: Sequence[str]) -> Iterator[tuple[str, Any]]:
        cells = _rows(data, column, start, start + len(places))
        for place, cell in zip(places, cells, strict=True):
            where = f"data.path={self.path}, row {place}: the column '{column}'"
            if cell is None:
                raise UserError(f"{where} is empty: save the set without such rows")
            yield where, cell

    def _add_arrays(self, data: Any, start: int, stop: int) -> None:
        for name in tuple(self.arrays):
            found = data.select_columns([name]).with_format("numpy", dtype=self.roles.arrays[name])[start:stop][name]
            if not self._fits(name, found):
                del self.arrays[name]
                self.notes.append(f"the column '{name}' is not read: its rows have different lengths")
                continue
            self.arrays[name].add(found)

    def _fits(self, name: str, found: NDArray[Any]) -> bool:
        each = self.arrays[name].each
        return found.dtype != object and each in (None, found.shape[1:])


def _rows(data: Any, column: str, start: int, stop: int) -> list[Any]:
    found: list[Any] = data.select_columns([column]).with_format(None)[start:stop][column]
    return list(found)
