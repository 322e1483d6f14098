"""Noise in place of data, to measure speed, and how far a variant's outputs drift from the baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import Split, SplitName
from pipeline.data.hashing import SPLITS
from pipeline.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class InputShape:
    """An input's shape, without the batch, and its type."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Independent random values of the inputs' shapes and types, without labels; the same seed gives the same
    values."""

    inputs: Mapping[str, InputShape]
    examples: Mapping[str, int]
    """How many examples each split has."""
    below: int = 1000
    """Whole numbers are drawn from 0 up to, but not including, this one; other values are standard normal."""
    fixed: Mapping[str, float] = field(default_factory=dict)
    """The inputs that have the same value everywhere, such as an attention mask."""
    seed: int = 0
    class_names: tuple[str, ...] = ()
    name: ClassVar[str] = "random"

    def __post_init__(self) -> None:
        unknown = sorted(set(self.examples) - set(SPLITS))
        if unknown:
            raise ValueError(f"examples.{unknown[0]} does not exist; available: {', '.join(SPLITS)}")
        if any(count < 1 for count in self.examples.values()):
            raise ValueError(f"examples must be at least 1 of each split (got {dict(self.examples)})")
        if self.below < 1:
            raise ValueError(f"below must be at least 1 (got {self.below})")

    @property
    def calibration_size(self) -> int:
        """How many calibration examples there are."""
        return self.examples.get("calibration", 0)

    def split(self, name: SplitName) -> Split:
        """Draw one split; raises UserError where it has no examples."""
        count = self.examples.get(name)
        if count is None:
            raise UserError(f"the data set has no {name} split: data.examples.{name}=64 gives it one")
        rng = np.random.default_rng([self.seed, SPLITS.index(name)])
        return Split(
            {key: self._draw(rng, key, (count, *spec.shape), spec.dtype) for key, spec in self.inputs.items()}, None
        )

    def _draw(self, rng: np.random.Generator, key: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        if key in self.fixed:
            return np.full(shape, self.fixed[key], dtype)
        if np.issubdtype(np.dtype(dtype), np.integer):
            return rng.integers(self.below, size=shape, dtype=np.dtype(dtype).type)
        return rng.standard_normal(shape).astype(dtype)
