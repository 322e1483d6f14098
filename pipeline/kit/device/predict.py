"""The outputs of a model on the kit's examples, kept in files: what they are worth is judged at home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.kit.device.feeds import Feeds
from pipeline.measure.difference import relative_difference


class Kept:
    """One output's file [N, ...], which is written a batch at a time; none where the output has no row an example."""

    def __init__(self, path: Path, count: int) -> None:
        """Nothing is written before the first batch tells type and shape."""
        self.path, self.count, self.usable = path, count, True
        self.file: Any = None

    def add(self, start: int, part: NDArray[Any] | None) -> None:
        """Keep a batch's rows. An output whose shape changes from batch to batch is not kept."""
        if part is None or not self.usable or (self.file is not None and part.shape[1:] != self.file.shape[1:]):
            self.usable = False
            return
        if self.file is None:
            shape = (self.count, *part.shape[1:])
            self.file = np.lib.format.open_memmap(str(self.path), mode="w+", dtype=part.dtype, shape=shape)
        self.file[start : start + len(part)] = part

    def close(self) -> None:
        """Have the file whole on the disk, or not at all."""
        if self.file is not None:
            self.file.flush()
        self.file = None
        if not self.usable and self.path.exists():
            self.path.unlink()


def predict(
    session: Any, feeds: Feeds, row: Mapping[str, Any], out: Path, count: int, golden: Path | None
) -> dict[str, Any]:
    """Run the first ``count`` examples; returns how far a second run and the golden outputs differ, as shares of the
    largest value."""
    fixed, axes = row["fixed_batch"], row["output_axes"]
    size = fixed or row["predict_batch"]
    kept: list[Kept] = []
    repeat = 0.0
    for start in range(0, count, size):
        length = min(size, count - start)
        feed = feeds.batch(start, length, fixed or length)
        outputs = by_example(session(feed), axes, fixed or length)
        if not start:
            kept = [Kept(out / f"{place}.npy", count) for place in range(len(outputs))]
            repeat = _apart(outputs, by_example(session(feed), axes, fixed or length))
        for one, output in zip(kept, outputs):  # noqa: B905  Python 3.9 has no strict
            one.add(start, None if output is None else output[:length])
    for one in kept:
        one.close()
    return {"examples": count, "repeat": repeat, "golden": None if golden is None else _from_golden(out, golden)}


def by_example(outputs: Sequence[Any], axes: Sequence[int | None] | None, size: int) -> list[NDArray[Any] | None]:
    """Each output with the examples first; None where it has no axis of them."""
    return [_examples_first(output, 0 if axes is None else axes[place], size) for place, output in enumerate(outputs)]


def _apart(first: Sequence[NDArray[Any] | None], second: Sequence[NDArray[Any] | None]) -> float:
    pairs = zip(first, second)  # noqa: B905  Python 3.9 has no strict
    found = [relative_difference(a, b) for a, b in pairs if a is not None and b is not None and a.dtype.kind in "biuf"]
    return max(found, default=0.0)


def _from_golden(out: Path, golden: Path) -> float | None:
    """The difference from the outputs of the first examples at home; None where there are no such outputs."""
    found = []
    for path in sorted(golden.glob("*.npy")):
        if (out / path.name).is_file():
            wanted = np.load(path, allow_pickle=False)
            got = np.load(out / path.name, mmap_mode="r")[: len(wanted)]
            found.append(relative_difference(wanted[: len(got)], np.asarray(got)))
    return max(found, default=None)


def _examples_first(output: Any, axis: int | None, size: int) -> NDArray[Any] | None:
    array = np.asarray(output)
    if axis is None or array.ndim <= axis or array.shape[axis] != size or array.dtype.kind not in "biufSU":
        return None
    return np.moveaxis(array, axis, 0)
