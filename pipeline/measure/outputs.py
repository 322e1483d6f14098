"""A model's outputs, example by example: the distance of two sets of outputs, and whether they are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.difference import relative_difference

KEPT_BYTES = 64 * 2**20
"""The most bytes of one model's outputs that are kept: the outputs of its first examples."""
_CHUNK = 256
OutputAxes = Sequence[int | None]
"""The axis of each output that counts the examples; None: the output has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """The comparison of two models' outputs on the same examples."""

    examples: int
    relative: float
    """The largest difference, as a share of the first model's largest value in the same output; infinite where shapes
    differ, or one holds a number where the other does not."""
    cosine: float | None
    """The mean over the examples of the cosine between the two, taken over all outputs that are numbers."""


def by_example(outputs: Sequence[Any], axes: OutputAxes | None, size: int) -> list[NDArray[Any] | None]:
    """Each output with the examples first. None where the output has no axis of them (where axes are not known: where
    its first size is not ``size``), or is no array of numbers."""
    return [_examples_first(output, axes[i] if axes and i < len(axes) else 0, size) for i, output in enumerate(outputs)]


def axes_in(first: Sequence[Any], second: Sequence[Any], sizes: tuple[int, int]) -> list[int | None]:
    """The axis of each output that counts the examples, seen by running two batches of different sizes."""
    return [_axis_in(*pair, sizes) for pair in zip(first, second, strict=True)]


def not_numbers(output: NDArray[Any]) -> int:
    """The number of examples whose output has a value that is not a number, or infinite.

    Minus infinity is allowed: it is the logarithm of a probability of 0.
    """
    if output.dtype.kind != "f":
        return 0
    bad = np.isnan(output) | np.isposinf(output)
    return int(bad.reshape(len(output), -1).any(axis=1).sum())


@dataclass(slots=True)
class Kept:
    """The outputs of the first examples, up to ``KEPT_BYTES``."""

    parts: list[list[NDArray[Any] | None]] = field(default_factory=list)
    taken: int = 0

    def add(self, outputs: Sequence[NDArray[Any] | None]) -> None:
        """Keep a batch's outputs, unless there are enough."""
        size = sum(output.nbytes for output in outputs if output is not None)
        if self.taken + size > KEPT_BYTES and self.parts:
            self.taken = KEPT_BYTES
            return
        self.parts.append([None if output is None else np.array(output) for output in outputs])
        self.taken += size

    def save(self, folder: Path) -> None:
        """Write a file for each output that has the examples on an axis."""
        folder.mkdir(parents=True, exist_ok=True)
        for index, arrays in enumerate(zip(*self.parts, strict=True)):
            found = [array for array in arrays if array is not None]
            if len(found) == len(arrays) and len({array.shape[1:] for array in found}) == 1:
                np.save(folder / f"{index}.npy", np.concatenate(found))


def likeness(first: Path, second: Path) -> Likeness | None:
    """Compare the outputs in two folders (``Kept.save``), a part at a time; None where they share none."""
    names = sorted({path.name for path in first.glob("*.npy")} & {path.name for path in second.glob("*.npy")})
    if not names:
        return None
    pairs = [tuple(np.load(folder / name, mmap_mode="r") for folder in (first, second)) for name in names]
    count = min(len(array) for pair in pairs for array in pair)
    relative = max(relative_difference(one[:count], other[:count]) for one, other in pairs)
    numbers = [pair for pair in pairs if all(array.dtype.kind == "f" for array in pair)]
    same = all(one.shape[1:] == other.shape[1:] for one, other in numbers)
    return Likeness(examples=count, relative=relative, cosine=_cosine(numbers, count) if numbers and same else None)


def _cosine(pairs: Sequence[Sequence[NDArray[Any]]], count: int) -> float | None:
    found: list[float] = []
    for start in range(0, count, _CHUNK):
        first, second = (
            np.concatenate(
                [
                    pair[side][start : min(start + _CHUNK, count)].reshape(min(_CHUNK, count - start), -1)
                    for pair in pairs
                ],
                axis=1,
            ).astype(np.float64)
            for side in (0, 1)
        )
        lengths = [np.linalg.norm(side, axis=1) for side in (first, second)]
        usable = np.isfinite(lengths[0] * lengths[1]) & (lengths[0] + lengths[1] > 0)
        product = (lengths[0] * lengths[1])[usable]
        # Where only one side is zero, nothing is alike: that counts as 0, and is not left out.
        found += ((first * second).sum(axis=1)[usable] / np.where(product > 0, product, 1.0)).tolist()
    return float(np.mean(found)) if found else None


def _examples_first(output: Any, axis: int | None, size: int) -> NDArray[Any] | None:
    if axis is None or isinstance(output, (list, dict)):
        return None
    array = np.asarray(output)
    if array.ndim <= axis or array.shape[axis] != size or array.dtype.kind not in "biufSUO":
        return None
    return np.moveaxis(array, axis, 0)


def _axis_in(first: Any, second: Any, sizes: tuple[int, int]) -> int | None:
    if isinstance(first, (list, dict)):
        return None
    shapes = np.shape(first), np.shape(second)
    if len(shapes[0]) != len(shapes[1]):
        return None
    pairs = list(zip(*shapes, strict=True))
    changed = [axis for axis, pair in enumerate(pairs) if pair[0] != pair[1]]
    return changed[0] if len(changed) == 1 and pairs[changed[0]] == sizes else None
