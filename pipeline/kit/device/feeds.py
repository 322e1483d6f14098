"""The kit's raw inputs as a model reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bundle.slimline_infer.values import placed, prepare

Arrays = Mapping[str, NDArray[Any]]
_FLOATS = ("float16", "float32", "float64")


class Feeds:
    """Batches of the kit's examples, read from its files a batch at a time."""

    def __init__(self, folder: Path, inputs: Sequence[Mapping[str, Any]], read_as: Sequence[Mapping[str, Any]]) -> None:
        """``inputs`` are the kit's entries, ``read_as`` what the runtime says of the model's inputs.

        A stage may have changed the width of floating-point inputs, so the model's own type counts.
        """
        types = {entry["name"]: entry["dtype"] for entry in read_as}
        self.entries = [{**entry, "dtype": _type(entry["dtype"], types.get(entry["name"]))} for entry in inputs]
        self.arrays = {entry["name"]: np.load(folder / entry["file"], mmap_mode="r") for entry in inputs}
        self.count = len(next(iter(self.arrays.values())))

    def batch(self, start: int, size: int, wanted: int) -> dict[str, NDArray[Any]]:
        """``size`` examples from ``start`` on; the last one is repeated until there are ``wanted``."""
        return {
            entry["name"]: placed(prepare(self._raw(entry, start, size, wanted), entry), entry)
            for entry in self.entries
        }

    def first(self, size: int) -> dict[str, NDArray[Any]]:
        """The batch that is timed: the first examples, repeated in turn where there are fewer."""
        places = np.arange(size) % self.count
        return {
            entry["name"]: placed(prepare(np.asarray(self.arrays[entry["name"]][places]), entry), entry)
            for entry in self.entries
        }

    def _raw(self, entry: Mapping[str, Any], start: int, size: int, wanted: int) -> NDArray[Any]:
        part: NDArray[Any] = np.asarray(self.arrays[entry["name"]][start : start + size])
        missing = wanted - len(part)
        return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing > 0 else part


def _type(told: str, read: str | None) -> str:
    return read if read in _FLOATS and told in _FLOATS else told
