"""Batches as a model reads them: which axis has the examples, and which examples may run in one call."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.data.rows import Array, Rows, loaded, pieces

Feed = Mapping[str, NDArray[Any]]
Arrays = Mapping[str, Array]
"""Arrays [N, ...] by input name, in memory or in files."""
A = TypeVar("A", bound=Array)
Axes = Mapping[str, int | None]
"""The axis of the examples in the model's own array, by input name; None: one value serves the whole call. An input
that is not named has them first."""


class WithAxes(dict[str, A], Generic[A]):
    """Arrays [N, ...] by input name, the examples always first, and the axis where the model has them (``axes``)."""

    def __init__(self, arrays: Mapping[str, A], axes: Axes | None = None) -> None:
        super().__init__(arrays)
        self.axes: Axes = dict(axes or {})


Inputs = WithAxes[NDArray[Any]]
"""Arrays in memory."""


def in_memory(inputs: Arrays) -> Inputs:
    """The same inputs, all of them in memory."""
    return Inputs({name: loaded(array) for name, array in inputs.items()}, axes_of(inputs))


def axes_of(inputs: Arrays) -> Axes:
    """The axes where the model has the examples; empty where that is the first axis of every input."""
    return inputs.axes if isinstance(inputs, WithAxes) else {}


def count_of(inputs: Arrays) -> int:
    """How many examples there are."""
    return len(next(iter(inputs.values())))


def first_of(inputs: Inputs | Feed, count: int) -> Inputs:
    """The first ``count`` examples."""
    return Inputs({name: array[:count] for name, array in inputs.items()}, axes_of(inputs))


def starts(count: int, size: int, limit_s: float | None = None) -> Iterator[int]:
    """The first example of each batch of ``size``; none any more once ``limit_s`` seconds have passed."""
    began = time.monotonic()
    for start in range(0, count, size):
        yield start
        if limit_s is not None and time.monotonic() - began >= limit_s:
            return


def placed(batch: Feed, axes: Axes) -> dict[str, NDArray[Any]]:
    """A batch [N, ...] as the model reads it, contiguous; an input without an axis takes the value of the first
    example."""
    return {name: np.asarray(_placed(array, axes.get(name, 0)), order="C") for name, array in batch.items()}


def batch(inputs: Arrays, start: int, size: int, filled: int | None = None) -> dict[str, NDArray[Any]]:
    """The examples from ``start`` on, at most ``size``; with ``filled``, the last one is repeated up to that number."""
    parts = {name: array[start : start + size] for name, array in inputs.items()}
    length = count_of(parts)
    if filled is not None and filled > length:
        parts = {name: np.concatenate([part, part[-1:].repeat(filled - length, 0)]) for name, part in parts.items()}
    return placed(parts, axes_of(inputs))


def batch_of(inputs: Arrays, size: int) -> Feed:
    """The first ``size`` examples, repeated where there are fewer."""
    return _in_turn(inputs, 0, size)


def batches_of(inputs: Arrays, size: int, most: int, most_bytes: int) -> list[Feed]:
    """Up to ``most`` batches of ``size`` examples, one after the other. There are fewer where they would share examples
    or take more than ``most_bytes`` together, but at least one."""
    first = batch_of(inputs, size)
    bytes_each = sum(array.nbytes for array in first.values())
    wanted = min(most, max(1, most_bytes // max(1, bytes_each)), max(1, count_of(inputs) // size))
    return [first, *(_in_turn(inputs, index * size, size) for index in range(1, wanted))]


def alone(inputs: Arrays) -> str | None:
    """The input that allows only one example a call: the model has no axis for it, and the examples differ in it."""
    for name, axis in axes_of(inputs).items():
        if axis is None and name in inputs and _differs(inputs[name]):
            return name
    return None


def together(inputs: Arrays, size: int) -> int:
    """How many of ``size`` examples may run in one call: one where they differ in an input that serves a whole call."""
    return 1 if alone(inputs) else size


def _placed(array: NDArray[Any], axis: int | None) -> NDArray[Any]:
    if axis is None:
        return array[:1].reshape(array.shape[1:])
    return np.moveaxis(array, 0, axis)


def _differs(array: Array) -> bool:
    if not isinstance(array, Rows) and not array.strides[0]:  # one value, shown N times
        return False
    first, exact = array[:1], array.dtype.kind != "f"
    return any(not np.array_equal(first[0], other, equal_nan=not exact) for part in pieces(array) for other in part)


def _in_turn(inputs: Arrays, start: int, size: int) -> Feed:
    chosen = (start + np.arange(size)) % count_of(inputs)
    return placed({name: array[chosen] for name, array in inputs.items()}, axes_of(inputs))
