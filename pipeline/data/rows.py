"""Arrays of examples that stay in a file. Only what is asked for is read, so that data may be larger than memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

IN_MEMORY = 2**26
"""Arrays of up to so many bytes are read as a whole; larger ones stay in their file."""
_PIECE = 2**24
"""About the bytes that are read at a time where a whole array is gone through."""

Step = Callable[[NDArray[Any]], NDArray[Any]]
"""What is done to examples [K, ...] once they are read, each by itself. It is handed to other processes."""
Places = slice | Sequence[int] | NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Region:
    """An array [N, ...] in a file, in C order from the byte ``start`` on."""

    path: Path
    start: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        """The byte behind the last one."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize

    def read(self, places: NDArray[np.intp]) -> NDArray[Any]:
        """Copies of these examples. The file is read and not mapped: of a mapped file all that was touched stays
        resident, and the system maps far more around it."""
        size = math.prod(self.shape[1:]) * self.dtype.itemsize
        found = np.empty(len(places) * size, np.uint8)
        with self.path.open("rb", buffering=0) as file:
            for first, last in _runs(places):
                file.seek(self.start + int(places[first]) * size)
                _fill(file, found.data[first * size : last * size], self.path)
        return found.view(self.dtype).reshape(len(places), *self.shape[1:])


def _runs(places: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Where examples that lie one behind the other begin and end among ``places``."""
    starts = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist()] if len(places) else []
    return zip(starts, [*starts[1:], len(places)], strict=False)


def _fill(file: FileIO, space: memoryview, path: Path) -> None:
    """Read until a space is full: the system may give less at a time."""
    while space:
        count = file.readinto(space)
        if not count:
            raise UserError(f"{path} became shorter while it was read: leave it as it is until the run has ended")
        space = space[count:]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Examples [N, ...] of a file's array, changed by ``steps`` as they are read.

    Indexing reads: ``rows[start:stop]`` and ``rows[[3, 1]]`` are NumPy arrays. Another process is handed the place in
    the file, not the values.
    """

    region: Region
    places: NDArray[np.intp]
    dtype: np.dtype[Any]
    each: tuple[int, ...]
    """The shape of one example."""
    steps: tuple[Step, ...] = ()

    @staticmethod
    def of(region: Region) -> Rows:
        """All examples of a region."""
        return Rows(region, np.arange(region.shape[0]), region.dtype, region.shape[1:])

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, ...]."""
        return (len(self), *self.each)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return 1 + len(self.each)

    @property
    def nbytes(self) -> int:
        """The bytes that all examples would take in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, which: Places) -> NDArray[Any]:
        found = self.region.read(self.places[which])
        for step in self.steps:
            found = step(found)
        return found

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def at(self, which: Places) -> Rows:
        """Some of the examples, which stay in the file."""
        return replace(self, places=self.places[which])

    def changed(self, step: Step) -> Rows:
        """The examples with one more step."""
        sample = step(self[:1])
        return replace(self, steps=(*self.steps, step), dtype=sample.dtype, each=sample.shape[1:])


Array = NDArray[Any] | Rows
"""Examples [N, ...], in memory or in a file."""


def chosen(array: Array, which: Places) -> Array:
    """Some of the examples, where they are."""
    return array.at(which) if isinstance(array, Rows) else array[which]


def changed(array: Array, step: Step) -> Array:
    """The examples, changed by ``step``: at once in memory, else as they are read."""
    return array.changed(step) if isinstance(array, Rows) else step(array)


def joined(first: Array, second: Array) -> Array:
    """The examples of both; they stay in the file where both are from one and are changed alike."""
    if (
        isinstance(first, Rows)
        and isinstance(second, Rows)
        and (first.region, first.steps) == (second.region, second.steps)
    ):
        return replace(first, places=np.concatenate([first.places, second.places]))
    return np.concatenate([loaded(first), loaded(second)])


def loaded(array: Array) -> NDArray[Any]:
    """The examples in memory."""
    return array[:] if isinstance(array, Rows) else array


def pieces(array: Array) -> Iterator[NDArray[Any]]:
    """All examples in order, a few at a time."""
    for start, stop in spans(len(array), array.nbytes):
        yield array[start:stop]


def spans(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Where pieces of ``count`` examples begin and end that take ``size`` bytes together."""
    step = max(1, count * _PIECE // max(1, size))
    return ((start, min(start + step, count)) for start in range(0, count, step))


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array in NumPy's .npy format, whether it is in Fortran's order, and its type; the file then
    stands where the values begin. Raises ValueError where it is no such array."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def npy_region(path: Path, start: int = 0) -> Region | None:
    """The array in .npy format that begins at this byte of a file; None for one in Fortran's order, which has no
    example in one place."""
    with path.open("rb") as file:
        file.seek(start)
        shape, fortran, dtype = npy_header(file)
        return None if fortran and len(shape) > 1 else Region(path, file.tell(), dtype, shape)
