"""Noise in place of data, to measure speed, and how far a variant's outputs drift from the baseline's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Count
from pipeline.data.batches import Axes
from pipeline.data.dataset import Split, SplitName
from pipeline.data.fitted import Around, Wanted
from pipeline.data.hashing import SPLITS
from pipeline.errors import NoExamples, UserError
from pipeline.errors.names import unknown

_CHANNELS, _MOST_CHANNELS = 3, 4
_PICTURE = 3
"""The axes of a picture: channels, height and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputShape:
    """An input's shape, without the batch, and its type; None: the model's type."""

    shape: tuple[Count, ...]
    dtype: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Independent random values of the shapes and types that a model reads, without labels; the same seed gives the
    same values."""

    examples: Mapping[str, int]
    """How many examples each split has; 0: it has no such split."""
    inputs: Mapping[str, InputShape] = field(default_factory=dict)
    """The shapes of single inputs, in place of what the model tells."""
    below: Count = 1000
    """Whole numbers are drawn from 0 up to, but not including, this one or the rows of the model's embedding; other
    values are standard normal."""
    length: Count = 64
    """What a free size gets: the number of tokens, say."""
    size: Count = 224
    """What the free height and width of pictures get."""
    fixed: Mapping[str, float] = field(default_factory=dict)
    """The inputs that have the same value everywhere, such as an attention mask."""
    seed: int = 0
    class_names: tuple[str, ...] = ()
    name: ClassVar[str] = "random"

    def __post_init__(self) -> None:
        others = sorted(set(self.examples) - set(SPLITS))
        if others:
            raise ValueError(unknown(f"examples.{others[0]}", others[0], SPLITS))
        if any(count < 0 for count in self.examples.values()) or not self.examples.get("test"):
            raise ValueError(
                f"examples must be at least 1 of the test split, and 0 or more of others (got {dict(self.examples)})"
            )

    @property
    def calibration_size(self) -> int:
        """How many calibration examples there are."""
        return self.examples.get("calibration", 0)

    def drawn_for(self, wanted: Mapping[str, Wanted], axes: Axes) -> Drawn:
        """The examples for a model of these inputs; raises UserError where an input's shape is not known."""
        shapeless = [name for name, entry in wanted.items() if entry.shape is None and name not in self.inputs]
        if shapeless:
            raise UserError(
                *(
                    f"the model declares no shape of '{name}', so no examples can be drawn for it: type "
                    f"data.inputs.{name}.shape=[3,224,224] with its sizes, without the batch"
                    for name in shapeless
                )
            )
        return Drawn(data=self, inputs={name: self._input(name, entry, axes) for name, entry in wanted.items()})

    def split(self, name: SplitName) -> Split:
        """Draw one split of the inputs that have a shape of their own; raises NoExamples where it has no examples."""
        wanted = {key: Wanted(shape=None, dtype=spec.dtype or "float32") for key, spec in self.inputs.items()}
        return self.drawn_for(wanted, {}).split(name)

    def _input(self, name: str, wanted: Wanted, axes: Axes) -> _Input:
        axis, own = axes.get(name, 0), self.inputs.get(name)
        sizes = [size for place, size in enumerate(wanted.shape or ()) if place != axis]
        shape = tuple(own.shape) if own is not None else self._filled(sizes)
        return _Input(
            shape=shape,
            dtype=np.dtype((own.dtype if own is not None else None) or wanted.dtype),
            below=min(self.below, wanted.below or self.below),
            value=self.fixed.get(name),
            shared=axis is None,
            note=f"the model leaves sizes of '{name}' free, and its examples are {list(shape)}: "
            f"data.inputs.{name}.shape=[{','.join(map(str, shape))}] sets others"
            if own is None and None in sizes
            else None,
        )

    def _filled(self, sizes: Sequence[int | None]) -> tuple[int, ...]:
        """The sizes of one example, with a number in place of each free one."""
        channels = _channels(sizes)
        if channels is None:
            return tuple(self.length if size is None else size for size in sizes)
        free = [_CHANNELS if place == channels else self.size for place in range(len(sizes))]
        return tuple(other if size is None else size for size, other in zip(sizes, free, strict=True))


def _channels(sizes: Sequence[int | None]) -> int | None:
    """The axis of the channels where these are the sizes of a picture, first or last; else None."""
    if len(sizes) != _PICTURE:
        return None
    few = [size is not None and size <= _MOST_CHANNELS for size in sizes]
    if few[-1] and not few[0]:
        return len(sizes) - 1
    return 0 if few[0] or sizes[0] is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    below: int
    value: float | None
    """The value everywhere; None: values are drawn."""
    shared: bool
    """Whether all examples have the same values, because the model has no axis for them."""
    note: str | None

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[Any]:
        """[count, *shape]."""
        shape = (count, *self.shape)
        if self.shared:
            return np.broadcast_to(self._values(rng, self.shape), shape)
        return self._values(rng, shape)

    def _values(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
        if self.value is not None:
            return np.full(shape, self.value, self.dtype)
        if np.issubdtype(self.dtype, np.integer):
            most = min(self.below, int(np.iinfo(self.dtype).max) + 1)
            return np.asarray(rng.integers(most, size=shape, dtype=self.dtype.type))
        return np.asarray(rng.standard_normal(shape)).astype(self.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn(Around):
    """Noise in the shapes and types that one model reads."""

    data: Noise
    inputs: Mapping[str, _Input]

    def split(self, name: SplitName) -> Split:
        """Draw one split; raises NoExamples where it has no examples."""
        count = self.data.examples.get(name, 0)
        if not count:
            raise NoExamples(
                f"there are no {name} examples: give data of your own, or draw some with data.examples.{name}=64"
            )
        rng = np.random.default_rng([self.data.seed, SPLITS.index(name)])
        arrays = {key: entry.draw(rng, count) for key, entry in self.inputs.items()}
        notes = [entry.note for entry in self.inputs.values() if entry.note is not None]
        return Split(arrays, None, ("the inputs are random: outputs are compared, and no accuracy is claimed", *notes))
