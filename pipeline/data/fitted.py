"""A data set as a model reads it: its inputs' names, types and axes, and its labels' shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.batches import Axes, Feed, WithAxes, axes_of, count_of
from pipeline.data.dataset import Dataset, Split, SplitName
from pipeline.data.rows import Array, changed, pieces

_ZEROS = ("token_type_ids", "segment_ids")
"""Inputs that are 0 for texts of one part."""
_MASK = "attention_mask"
"""An input that is 1 for every token that counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An input that the model reads: its sizes, with None where any will do, or None; and NumPy's name of the type."""

    shape: tuple[int | None, ...] | None
    dtype: str
    preprocessed: bool = False
    """Whether the model preprocesses it: its type is then the type of the preprocessing."""
    below: int | None = None
    """The number that the model's whole numbers are below; None: not known."""
    longest: int | None = None
    """The most tokens of a text that the model takes; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """A data set around another one, whose splits it changes: it has that data set's name and sizes."""

    data: Dataset

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.data.name

    @property
    def calibration_size(self) -> int:
        """The data set's size of the calibration split."""
        return self.data.calibration_size

    @property
    def class_names(self) -> Sequence[str]:
        """The data set's class names."""
        return self.data.class_names


def original(data: Dataset) -> Dataset:
    """The data set that the user named, without the data sets around it."""
    return original(data.data) if isinstance(data, Around) else data


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Fits examples to a model's inputs."""

    wanted: Mapping[str, Wanted]
    axes: Axes = field(default_factory=dict)
    """The axes where the model has the examples, as far as it tells."""

    def __call__(self, split: Split) -> Split:
        """The examples with the arrays that the model reads, in its types, and a note of each change."""
        if not count_of(split.inputs):
            return split
        found: dict[str, Array] = {}
        notes: list[str] = []
        for name, wanted in self.wanted.items():
            if name in split.inputs:
                array = _shaped(split.inputs[name], wanted, self.axes.get(name, 0))
                if array.shape[-1:] != split.inputs[name].shape[-1:] and array.ndim == split.inputs[name].ndim:
                    notes.append(f"the channels of '{name}' are moved last, as the model reads them")
                found[name] = _typed(name, array, wanted, notes)
            elif (made := _made(name, split, wanted)) is not None:
                found[name] = made
                notes.append(f"the data has no '{name}': it is {made.flat[0]} everywhere")
        if len(found) < len(self.wanted):
            return split  # its misfit is told by whoever compares names
        unread = [name for name in split.inputs if name not in self.wanted]
        if unread:
            likely = [name for name in unread if split.labels is None and split.inputs[name].ndim == 1]
            hint = f" (if {likely[0]} holds the labels, name it 'labels')" if likely else ""
            notes.append(f"the model does not read {', '.join(unread)}{hint}")
        axes = {**axes_of(split.inputs), **self.axes}
        needed = {name: axis for name, axis in axes.items() if axis != 0 and name in found}
        return replace(split, inputs=WithAxes(found, needed), notes=(*split.notes, *notes))

    def after(self, prepare: Callable[[Any], Feed]) -> Callable[[Any], Feed]:
        """What ``prepare`` makes of a source, fitted."""
        return partial(_fitted, self, prepare)


def _fitted(fit: Fit, prepare: Callable[[Any], Feed], source: Any) -> Feed:
    return fit(Split(prepare(source))).arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted(Around):
    """The data set ``data``, with its arrays fitted to a model's inputs.

    Arrays that the model does not read are left out. ``token_type_ids`` and ``attention_mask`` are made where the data
    has none. Numbers take the model's type where that keeps their kind and their values. Each of these is a note of the
    split.
    """

    fit: Fit
    _splits: dict[SplitName, Split] = field(default_factory=dict)

    def split(self, name: SplitName) -> Split:
        """Read one split and fit it; raises the data set's own errors."""
        if name not in self._splits:
            self._splits[name] = self.fit(self.data.split(name))
        return self._splits[name]


def fit_of(data: Dataset) -> Fit | None:
    """How a data set is fitted to a model; None where it is not."""
    if isinstance(data, Fitted):
        return data.fit
    return fit_of(data.data) if isinstance(data, Around) else None


def _shaped(array: Array, wanted: Wanted, axis: int | None) -> Array:
    """The array without an axis of one example inside each example, as data has it that holds a whole feed for each."""
    each = array.shape[1:]
    if wanted.shape is None:
        return array
    if axis is None:
        sizes = [1 if size is None else size for size in wanted.shape]
        same = each == tuple(sizes) or _product(each) != _product(sizes)
        return array if same else changed(array, methodcaller("reshape", -1, *sizes))
    if len(each) == len(wanted.shape) and axis < len(each) and each[axis] == 1:
        return changed(array, methodcaller("squeeze", axis + 1))
    others = [size for place, size in enumerate(wanted.shape) if place != axis]
    if not _fits(each, others) and each[:1] in ((1,), (3,)) and _fits((*each[1:], each[0]), others):
        # pictures [N, C, H, W] for a model that reads [N, H, W, C]
        return changed(array, partial(np.moveaxis, source=1, destination=-1))
    return array


def _fits(shape: Sequence[int], sizes: Sequence[int | None]) -> bool:
    return len(shape) == len(sizes) and all(want in (None, have) for have, want in zip(shape, sizes, strict=True))


def _product(sizes: Sequence[int]) -> int:
    return int(np.prod(sizes, dtype=np.int64))


def _typed(name: str, array: Array, wanted: Wanted, notes: list[str]) -> Array:
    """The array in the model's type where every value stays what it is, to the precision of that type."""
    dtype = np.dtype(wanted.dtype)
    kinds = {"f": "f", "i": "iub", "u": "iub", "b": "b"}.get(dtype.kind, "")
    native = array.dtype.newbyteorder("=")
    if wanted.preprocessed or array.dtype == dtype or array.dtype.kind not in kinds:
        return _in(array, native) if array.dtype.kind in "iuf" else array
    if not all(_keeps(part, dtype) for part in pieces(array)):
        return array
    if native != dtype:
        notes.append(f"'{name}' is stored as {array.dtype.name}, and was turned into the model's {dtype.name}")
    return _in(array, dtype)


def _in(array: Array, dtype: np.dtype[Any]) -> Array:
    return array if array.dtype == dtype else changed(array, methodcaller("astype", dtype))


def _keeps(part: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    with np.errstate(over="ignore"):
        found = part.astype(dtype)
    return bool(np.isfinite(found).all()) if dtype.kind == "f" else np.array_equal(found, part)


def _made(name: str, split: Split, wanted: Wanted) -> NDArray[Any] | None:
    """An input that follows from the others; None where it doesn't."""
    if name not in (*_ZEROS, _MASK):
        return None
    like = next((array for array in split.inputs.values() if array.ndim == 2 and array.dtype.kind in "iu"), None)
    if like is None:
        return None
    return np.broadcast_to(np.array(int(name == _MASK), wanted.dtype), like.shape)
