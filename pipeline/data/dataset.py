"""The form of a data set, whoever made it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.data.batches import Arrays, Inputs, WithAxes, axes_of, count_of, in_memory
from pipeline.data.batches import Feed as Feed
from pipeline.data.preprocessing import Preprocessing
from pipeline.data.rows import Array, Places, changed, chosen, joined, pieces, spans
from pipeline.errors import NoExamples

SplitName = Literal["train", "validation", "calibration", "test"]
IGNORED = -100
"""A label that is not judged and not learnt from, as in PyTorch's cross-entropy."""
Labels = NDArray[Any]
"""Class numbers (int64); or what a model's outputs are to meet: numbers and boxes (float64), or texts."""


def labelled(labels: Labels) -> NDArray[np.bool_]:
    """Which labels are judged: all but class numbers that are ``IGNORED``, and all but numbers that are NaN; every
    text."""
    if labels.dtype.kind == "U":
        return np.ones(labels.shape, np.bool_)
    found: NDArray[np.bool_] = ~np.isnan(labels) if labels.dtype.kind == "f" else labels != IGNORED
    return found


@dataclass(frozen=True, slots=True)
class Split:
    """Raw inputs, one array [N, ...] per input name of the model, and labels [N] where there are any.

    Large arrays stay in a file (``pipeline.data.rows``): take a few examples, or go through them in batches.
    Labels are [N, ...] for a model that tells the class of each part of an example, such as a tagger. They are class
    numbers, or other numbers for a model that tells none.
    """

    inputs: Arrays
    labels: Labels | None = None
    notes: tuple[str, ...] = ()
    """Sentences for the report about how these examples were read."""
    origins: NDArray[Any] | None = None
    """Where their owner finds them [N]: files, texts, or places in the arrays of a file. None: nothing tells."""

    def __len__(self) -> int:
        return count_of(self.inputs)

    @property
    def arrays(self) -> Inputs:
        """The inputs in memory: take a few examples first."""
        return in_memory(self.inputs)

    def take(self, start: int, stop: int) -> Split:
        """The examples from ``start`` to before ``stop``."""
        return self.chosen(slice(start, stop))

    def chosen(self, which: Places) -> Split:
        """Some of the examples."""
        arrays = {name: chosen(array, which) for name, array in self.inputs.items()}
        labels = None if self.labels is None else self.labels[which]
        origins = None if self.origins is None else self.origins[which]
        return replace(self, inputs=WithAxes(arrays, axes_of(self.inputs)), labels=labels, origins=origins)

    def followed_by(self, other: Split) -> Split:
        """These examples and then those of another split, with labels where both have them; the notes are these."""
        arrays = {name: joined(array, other.inputs[name]) for name, array in self.inputs.items()}
        labels, origins = _joined(self.labels, other.labels), _joined(self.origins, other.origins)
        return replace(self, inputs=WithAxes(arrays, axes_of(self.inputs)), labels=labels, origins=origins)

    def example_hashes(self) -> list[str]:
        """The sha256 of each example's inputs (not of its label), to tell whether splits overlap."""
        arrays = [self.inputs[name] for name in sorted(self.inputs)]
        hashes = []
        for start, stop in spans(len(self), sum(array.nbytes for array in arrays)):
            parts = [np.ascontiguousarray(array[start:stop]) for array in arrays]
            hashes += [_hash_of([part[index] for part in parts]) for index in range(stop - start)]
        return hashes

    def digest(self) -> str:
        """The sha256 of all names, shapes, bytes and labels: a stage's cache key holds the digests of what it read."""
        digest = hashlib.sha256()
        for name in sorted(self.inputs):
            array = self.inputs[name]
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            for part in pieces(array):
                digest.update(part.tobytes())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()


def _hash_of(values: Sequence[NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(value.tobytes())
    return digest.hexdigest()


def _joined(first: NDArray[Any] | None, second: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if first is None or second is None else np.concatenate([first, second])


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


def sample_of(data: Dataset, limit: int) -> Split:
    """Examples that decide nothing: from the calibration split where there is one, else from the test split."""
    if data.calibration_size:
        with suppress(NoExamples):
            return data.split("calibration").take(0, limit)
    return data.split("test").take(0, limit)


def prepared(inputs: Arrays, preprocessing: Mapping[str, Preprocessing]) -> Arrays:
    """The raw inputs as the model reads them; an input without preprocessing stays as it is. What is in a file is
    preprocessed when it is read."""
    arrays: dict[str, Array] = {
        name: changed(array, preprocessing[name]) if name in preprocessing else array for name, array in inputs.items()
    }
    return WithAxes(arrays, axes_of(inputs))


def preprocess(inputs: Arrays, preprocessing: Mapping[str, Preprocessing]) -> Inputs:
    """The same, all of it in memory: take a few examples first."""
    return in_memory(prepared(inputs, preprocessing))
