"""The type of a post-processing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Outputs = Mapping[str, NDArray[Any]]
"""A model's outputs for a batch of N by name, in the model's order, the examples first."""


class Postprocessing(Protocol):
    """What is done to a model's outputs before a metric judges them, such as decoding or non-maximum suppression.

    It may have an ``output``: the place or name of the output that it reads, 0 without.
    """

    def __call__(self, outputs: Outputs) -> Outputs | NDArray[Any]:
        """What the metric reads in place of the outputs: arrays [N, ...] by name, or one such array. Sizes behind the
        first are the same for every batch."""
        ...
