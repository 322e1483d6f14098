"""Data sets from NumPy files: a folder with a file per split, or one file that is split by hash."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipeline.data.dataset import Split, SplitName
from pipeline.data.hashing import check_fractions, check_sizes, limited, partition, take_part
from pipeline.errors import UserError

LABELS = "labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFolder:
    """A folder with ``train.npz``, ``validation.npz``, ``calibration.npz`` and ``test.npz``.

    Every run needs test, the others are needed by the stages that read them. Each holds an array [N, ...] per input
    name and, where there are any, ``labels`` [N].
    """

    path: Path
    name: str
    calibration_size: int = 512
    test_size: int | None = None
    """Use the first so many test examples; None: all."""
    class_names: tuple[str, ...] = ()
    augmentation: tuple[str, ...] = ()
    """Random changes of a training image that keep its label, for fine-tuning: flip, crop."""

    def __post_init__(self) -> None:
        check_sizes(self.calibration_size, self.test_size)

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where its file is missing or isn't what it should be."""
        file = self.path / f"{name}.npz"
        if not file.exists():
            raise UserError(f"the data set has no {name} split: {file} does not exist")
        return limited(read_npz(file), name, self.calibration_size, self.test_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class NpzFile:
    """One .npz file: an array [N, ...] per input name of the model and, where there are any, ``labels`` [N].

    It is split by the sha256 of each example's inputs (``pipeline.data.hashing``): equal examples share a split, and
    the same file always gives the same splits.
    """

    path: Path
    fractions: Mapping[str, float]
    calibration_size: int = 512
    test_size: int | None = None
    class_names: tuple[str, ...] = ()
    augmentation: tuple[str, ...] = ()
    """Random changes of a training image that keep its label, for fine-tuning: flip, crop."""

    def __post_init__(self) -> None:
        check_sizes(self.calibration_size, self.test_size)
        check_fractions(self.fractions)

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def split(self, name: SplitName) -> Split:
        """One split; raises UserError where the file can't be read or is too small for the split."""
        whole = read_npz(self.path)
        parts = _partition(self.path, tuple(self.fractions.items()))
        split = take_part(whole, parts, self.fractions, name, self.path)
        return limited(split, name, self.calibration_size, self.test_size)


@lru_cache(maxsize=8)
def read_npz(path: Path) -> Split:
    """Read a .npz file as one split; raises UserError, saying what is wrong with it."""
    if not path.exists():
        raise UserError(f"{path} does not exist: give a .npz file with an array per input and, if known, 'labels'")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{path} can't be read as .npz: {error}") from error
    labels = arrays.pop(LABELS, None)
    if not arrays:
        raise UserError(f"{path} holds no inputs: give an array per input name of the model")
    sizes = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if labels is not None:
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise UserError(
                f"{path}: 'labels' must be one whole number an example, it is {labels.dtype} {list(labels.shape)}"
            )
        sizes[LABELS] = len(labels)
    if len(set(sizes.values())) != 1:
        raise UserError(f"{path}: the arrays differ in their number of examples: {sizes}")
    if not next(iter(sizes.values())):
        raise UserError(f"{path} holds no examples")
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise UserError(f"{path}: '{name}' holds values that are not finite numbers")
    return Split(arrays, None if labels is None else labels.astype(np.int64))


@lru_cache(maxsize=8)
def _partition(path: Path, fractions: tuple[tuple[str, float], ...]) -> dict[str, list[int]]:
    return partition(read_npz(path).example_hashes(), dict(fractions))
