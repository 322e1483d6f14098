"""Data sets from NumPy files: a folder with a file per split, or one file that is split by hash."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipeline.data.dataset import Split, SplitName
from pipeline.errors import UserError

SPLITS: tuple[SplitName, ...] = ("train", "validation", "calibration", "test")
LABELS = "labels"
SMALLEST = {"test": 20, "calibration": 8}
DEFAULT_FRACTIONS = {"test": 0.5, "train": 0.3, "calibration": 0.1, "validation": 0.1}


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
        _check_sizes(self.calibration_size, self.test_size)

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where its file is missing or isn't what it should be."""
        file = self.path / f"{name}.npz"
        if not file.exists():
            raise UserError(f"the data set has no {name} split: {file} does not exist")
        return _limit(read_npz(file), name, self.calibration_size, self.test_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class NpzFile:
    """One .npz file: an array [N, ...] per input name of the model and, where there are any, ``labels`` [N].

    It is split by the sha256 of each example's inputs, so equal examples always share a split and the same file gives
    the same splits: sorted by hash, the first ``fractions.test`` of the distinct examples are test, and so on.
    """

    path: Path
    fractions: Mapping[str, float]
    calibration_size: int = 512
    test_size: int | None = None
    class_names: tuple[str, ...] = ()
    augmentation: tuple[str, ...] = ()
    """Random changes of a training image that keep its label, for fine-tuning: flip, crop."""

    def __post_init__(self) -> None:
        _check_sizes(self.calibration_size, self.test_size)
        unknown = sorted(set(self.fractions) - set(SPLITS))
        if unknown:
            raise ValueError(f"fractions.{unknown[0]} does not exist; available: {', '.join(SPLITS)}")
        if any(not 0 <= value <= 1 for value in self.fractions.values()) or sum(self.fractions.values()) > 1 + 1e-9:
            raise ValueError(f"fractions must lie between 0 and 1 and add up to at most 1 (got {dict(self.fractions)})")

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def split(self, name: SplitName) -> Split:
        """One split; raises UserError where the file can't be read or is too small for the split."""
        whole = read_npz(self.path)
        chosen = _partition(self.path, tuple(self.fractions.items()))[name]
        needed = SMALLEST.get(name, 1)
        if len(chosen) < needed:
            fraction = self.fractions.get(name, 0.0)
            hint = (
                f"at least {int(np.ceil(needed / fraction))} different examples are needed, or a larger"
                if fraction > 0
                else "set"
            )
            raise UserError(
                f"{self.path} has {len(whole)} examples, too few for the {name} split "
                f"({len(chosen)}, needed {needed}): {hint} data.fractions.{name}"
            )
        labels = None if whole.labels is None else whole.labels[chosen]
        split = Split({key: array[chosen] for key, array in whole.inputs.items()}, labels)
        return _limit(split, name, self.calibration_size, self.test_size)


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
    hashes = read_npz(path).example_hashes()
    by_hash: dict[str, list[int]] = {}
    for index, digest in enumerate(hashes):
        by_hash.setdefault(digest, []).append(index)
    ordered = [by_hash[digest] for digest in sorted(by_hash)]
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    start = 0.0
    for name, fraction in fractions:
        first, last = round(start * len(ordered)), round((start + fraction) * len(ordered))
        parts[name] = [index for group in ordered[first:last] for index in group]
        start += fraction
    return parts


def _limit(split: Split, name: SplitName, calibration_size: int, test_size: int | None) -> Split:
    limit = {"calibration": calibration_size, "test": test_size}.get(name)
    return split if limit is None else split.take(0, limit)


def _check_sizes(calibration_size: int, test_size: int | None) -> None:
    if calibration_size < 0:
        raise ValueError(f"calibration_size must be at least 0 (got {calibration_size})")
    if test_size is not None and test_size < 1:
        raise ValueError(f"test_size must be at least 1 (got {test_size})")
