"""The examples that stages look at a model with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from pipeline.data.batches import Axes, Feed, axes_of, batch, together
from pipeline.data.dataset import Split, preprocess
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import StageFailed
from pipeline.plan import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Calibration data, preprocessed a batch at a time."""

    raw: Split
    preprocessing: Mapping[str, Preprocessing]

    @staticmethod
    def of(context: Context, what: str, most: int | None = None) -> Examples:
        """The first of the calibration split, at ``most`` so many; raises StageFailed where there are none, and says
        ``what`` needs them."""
        raw = context.data.split("calibration")
        examples = Examples(raw=raw.take(0, most or len(raw)), preprocessing=context.preprocessing)
        if not len(examples):
            raise StageFailed(f"{what} needs calibration data: set data.calibration_size above 0")
        return examples

    def __len__(self) -> int:
        return len(self.raw) if self.raw.inputs else 0

    def first(self, count: int) -> Examples:
        """The first few."""
        return replace(self, raw=self.raw.take(0, count))

    def last(self, count: int) -> Feed:
        """The last few, preprocessed: an array [N, ...] for each input."""
        kept = self.raw.take(max(0, len(self.raw) - count), len(self.raw))
        return preprocess(kept.inputs, self.preprocessing)

    @property
    def axes(self) -> Axes:
        """The axes where the model has the examples, if these are not first."""
        return axes_of(self.raw.inputs)

    def together(self, size: int) -> int:
        """How many of ``size`` examples may run in one call."""
        return together(self.raw.inputs, size)

    def batch(self, start: int, size: int, filled: int | None = None) -> dict[str, NDArray[Any]]:
        """The examples from ``start`` on, at most ``size``; with ``filled``, the last one is repeated up to that
        number."""
        return batch(preprocess(self.raw.take(start, start + size).inputs, self.preprocessing), 0, size, filled)
