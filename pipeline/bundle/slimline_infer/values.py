"""Raw arrays: whether they fit the model's inputs, what looks wrong about them, and how they are prepared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Entry = Mapping[str, Any]
"""One entry of the manifest's ``inputs``."""
Arrays = Mapping[str, NDArray[Any]]
_UNIT = 1.0
_CLEARLY_MORE = 16.0
"""Golden values that reach beyond this are no fractions of 1."""


class InputError(ValueError):
    """Raised where the input, or what is installed, does not fit the model; the message is one line."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the error's type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def printable(text: object) -> str:
    """The text as a terminal can show it: characters that are not printable are spelled out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(text))


def checked(array: NDArray[Any], entry: Entry) -> NDArray[Any]:
    """The array, if its shape and type fit the input; the first axis may hold any number of examples.

    Raises InputError where they don't.
    """
    expected = ["N", *entry["shape"][1:]]
    fits = array.ndim == len(expected) and all(
        size == wanted or not isinstance(wanted, int) for size, wanted in zip(array.shape, expected, strict=True)
    )
    if not fits:
        shape = ", ".join("?" if size is None else printable(size) for size in expected)
        raise InputError(f"input '{_name(entry)}' must have shape [{shape}] (got {list(array.shape)})")
    read_as = "float32" if entry["preprocessing"] else entry["dtype"]
    if not np.can_cast(array.dtype, read_as, casting="same_kind"):
        raise InputError(f"input '{_name(entry)}' must hold {read_as} values (got {array.dtype})")
    return array


def by_example(entry: Entry, axis: int | None) -> dict[str, Any]:
    """A runtime's shape of an input or output, with the examples first; ``axis`` is where the model has them."""
    if axis == 0:
        return dict(entry)
    shape = list(entry["shape"])
    first = [None] if axis is None or axis >= len(shape) else [shape.pop(axis)]
    return {**entry, "shape": first + shape, "batch_axis": axis}


def placed(array: NDArray[Any], entry: Entry) -> NDArray[Any]:
    """A batch [N, ...] as the model reads it; raises InputError where one value serves all and the examples differ."""
    axis = entry.get("batch_axis", 0)
    if axis is not None:
        return np.asarray(np.moveaxis(array, 0, axis), order="C")
    if any(not np.array_equal(array[0], other) for other in array[1:]):
        raise InputError(
            f"one value of input '{_name(entry)}' serves a whole call, and the examples differ in it: give "
            "batch_size=1, or such examples apart"
        )
    return array[:1].reshape(array.shape[1:])


def prepare(raw: NDArray[Any], entry: Entry) -> NDArray[Any]:
    """The array that the model reads, from raw values [N, C, ...]: preprocessed, in the input's type."""
    if entry["preprocessing"]:
        raw = preprocess(raw, **entry["preprocessing"])
    return raw.astype(entry["dtype"], copy=False)


def preprocess(raw: NDArray[Any], scale: float, mean: Sequence[float], std: Sequence[float]) -> NDArray[Any]:
    """``(raw * scale - mean) / std`` in float32; ``mean`` and ``std`` hold one number, or one per channel (axis 1)."""
    shape = (-1,) + (1,) * max(raw.ndim - 2, 0)
    means = np.asarray(mean, np.float32).reshape(shape)
    stds = np.asarray(std, np.float32).reshape(shape)
    result: NDArray[Any] = (raw.astype(np.float32) * np.float32(scale) - means) / stds
    return result


def value_range(array: NDArray[Any]) -> list[float] | None:
    """The smallest and the largest finite value; None where there is none, or where the values aren't numbers."""
    if array.dtype.kind not in "iuf":
        return None
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return [float(finite.min()), float(finite.max())] if finite.size else None


def doubts(raw: Arrays, inputs: Sequence[Entry]) -> Iterator[str]:
    """What looks wrong about raw values that can be run all the same: a line each."""
    for entry in inputs:
        array, golden = raw[entry["name"]], entry.get("range")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            first = int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0])
            yield f"input '{_name(entry)}' holds values that are not finite (NaN, infinite), first in example {first}"
        found = value_range(array)
        if found and golden and not _counts_things(entry):
            yield from _unlike_golden(found, golden, entry)


def _unlike_golden(found: Sequence[float], golden: Sequence[float], entry: Entry) -> Iterator[str]:
    (low, high), (usual_low, usual_high) = found, golden
    told = (
        f"input '{_name(entry)}' runs from {low:g} to {high:g}, the golden inputs from {usual_low:g} to {usual_high:g}"
    )
    margin = max(usual_high - usual_low, abs(usual_high) / 10, float(np.finfo(np.float32).tiny))
    if low < usual_low - margin or high > usual_high + margin:
        yield f"{told}: is it scaled as the model's raw inputs are?"
    elif 0 <= low < high <= _UNIT and usual_high > _CLEARLY_MORE:
        yield f"{told}: are these fractions of 1 where the model takes whole values?"


def _counts_things(entry: Entry) -> bool:
    """Whole numbers that are handed on as they are may be token numbers: a few examples don't tell their range."""
    return not entry["preprocessing"] and np.dtype(entry["dtype"]).kind in "iu"


def _name(entry: Entry) -> str:
    return printable(entry["name"])
