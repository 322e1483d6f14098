"""What a data set is, whoever made it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.data.preprocessing import Preprocessing

SplitName = Literal["train", "validation", "calibration", "test"]
Feed = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Split:
    """Raw inputs, one array [N, ...] per input name of the model, and class labels [N] where there are any."""

    inputs: Feed
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, start: int, stop: int) -> Split:
        """The examples ``start`` to ``stop``."""
        labels = None if self.labels is None else self.labels[start:stop]
        return Split({name: array[start:stop] for name, array in self.inputs.items()}, labels)

    def example_hashes(self) -> list[str]:
        """The sha256 of each example's inputs (not of its label), to tell whether splits overlap."""
        arrays = [np.ascontiguousarray(self.inputs[name]) for name in sorted(self.inputs)]
        hashes = []
        for index in range(len(self)):
            digest = hashlib.sha256()
            for array in arrays:
                digest.update(array[index].tobytes())
            hashes.append(digest.hexdigest())
        return hashes

    def digest(self) -> str:
        """The sha256 of all names, shapes, bytes and labels: a stage's cache key holds the digests of what it read."""
        digest = hashlib.sha256()
        for name in sorted(self.inputs):
            array = np.ascontiguousarray(self.inputs[name])
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()


class Dataset(Protocol):
    """Splits that share no example. Decisions use train, validation and calibration; test decides nothing."""

    @property
    def name(self) -> str:
        """A short name for the report."""
        ...

    @property
    def calibration_size(self) -> int:
        """How many calibration examples were asked for."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """A name per class, or nothing."""
        ...

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where it can't be read or doesn't exist."""
        ...


def preprocess(inputs: Feed, preprocessing: Mapping[str, Preprocessing]) -> dict[str, NDArray[Any]]:
    """Turn raw inputs into what the model reads; an input without preprocessing is handed on as it is."""
    return {name: preprocessing[name](array) if name in preprocessing else array for name, array in inputs.items()}


def batch_of(inputs: Feed, size: int) -> Feed:
    """The first ``size`` examples, repeated where there are fewer."""
    return _from(inputs, 0, size)


def batches_of(inputs: Feed, size: int, most: int, most_bytes: int) -> list[Feed]:
    """Up to ``most`` batches of ``size`` examples, one after the other: fewer where they would take more than
    ``most_bytes`` together or share examples, one at least."""
    count = len(next(iter(inputs.values())))
    first = batch_of(inputs, size)
    bytes_each = sum(array.nbytes for array in first.values())
    wanted = min(most, max(1, most_bytes // max(1, bytes_each)), max(1, count // size))
    return [first, *(_from(inputs, index * size, size) for index in range(1, wanted))]


def _from(inputs: Feed, start: int, size: int) -> Feed:
    count = len(next(iter(inputs.values())))
    chosen = (start + np.arange(size)) % count
    return {name: np.ascontiguousarray(array[chosen]) for name, array in inputs.items()}
