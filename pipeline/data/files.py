"""Data sets from NumPy files: a folder with a file per split, or one file (or a folder of .npy files) that is split by
hash."""

from __future__ import annotations

import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.bounds import Positive
from pipeline.data import rows
from pipeline.data.axes import axis_of, examples_in, likely_axis
from pipeline.data.batches import Arrays, WithAxes, count_of
from pipeline.data.dataset import IGNORED, Labels, Split, SplitName
from pipeline.data.hashing import Divided, Partition, check_sizes, limited, partition
from pipeline.data.labels import LabelKind, LabelRule
from pipeline.data.rows import Array, Rows, loaded, npy_region, pieces
from pipeline.data.sizes import check_file, check_memory, check_npz
from pipeline.data.spool import temporary_file
from pipeline.errors import NoExamples, UserError, first_line, reporting_temporary

LABELS = "labels"
_DAMAGED = (OSError, ValueError, EOFError, AttributeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What NumPy and zipfile raise for a file that is not whole."""
_NAME_SIZES = 26
"""Where a member's own header in a .zip file has the sizes of its name and its extra field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The rules by which a file's arrays are read."""

    rule: LabelRule = field(default_factory=LabelRule)
    batch_axes: tuple[tuple[str, int | None], ...] = ()
    max_gb: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFolder:
    """A folder with ``train.npz``, ``validation.npz``, ``calibration.npz`` and ``test.npz``.

    Every run needs the test split; the stages that read the other splits need those. Each holds an array [N, ...] per
    input name and, where there are any, ``labels`` [N].
    """

    path: Path
    name: str
    calibration_size: int = 512
    test_size: int | None = None
    """How many test examples to use, from the first on; None: all."""
    class_names: tuple[str, ...] = ()
    augmentation: tuple[str, ...] = ()
    """Random changes of a training image that keep its label, for fine-tuning: flip, crop."""
    label_kind: LabelKind = "classes"
    """What the labels are; boxes and texts are for metrics that take them."""
    label_offset: int = 0
    """The number of the first class: 1 where the labels begin at 1."""
    ignore_label: int = IGNORED
    """A label that is neither judged nor learnt from."""
    batch_axes: Mapping[str, int | None] = field(default_factory=dict)
    """The axis of the model's array that counts the examples, by input name; null: one value serves a whole call. An
    axis that is not given is found from the model and the shapes."""
    max_gb: Positive | None = None
    """The most that a file may unpack to; None: what memory and the disk of temporary files have room for."""

    def __post_init__(self) -> None:
        check_sizes(self.calibration_size, self.test_size)

    def split(self, name: SplitName) -> Split:
        """Read one split; raises NoExamples where its file is missing, UserError where it isn't what it should be."""
        file = self.path / f"{name}.npz"
        if not file.exists():
            raise NoExamples(f"the data set has no {name} split: {file} does not exist")
        return limited(read_npz(file, self._reading), name, self.calibration_size, self.test_size)

    @property
    def _reading(self) -> Reading:
        rule = LabelRule(
            kind=self.label_kind, names=self.class_names, offset=self.label_offset, ignored=self.ignore_label
        )
        return Reading(rule=rule, batch_axes=tuple(self.batch_axes.items()), max_gb=self.max_gb)


@dataclass(frozen=True, slots=True, kw_only=True)
class NpzFile(Divided):
    """One .npz file: an array [N, ...] per input name of the model and, where there are any, ``labels`` [N]; or a
    folder with an .npy file for each of them.

    It is split by the sha256 of each example's inputs (``pipeline.data.hashing``): equal examples share a split, and
    the same file always gives the same splits.
    """

    path: Path
    fractions: Mapping[str, float]
    class_names: tuple[str, ...] = ()
    augmentation: tuple[str, ...] = ()
    """Random changes of a training image that keep its label, for fine-tuning: flip, crop."""
    label_kind: LabelKind = "classes"
    """What the labels are; boxes and texts are for metrics that take them."""
    label_offset: int = 0
    """The number of the first class: 1 where the labels begin at 1."""
    ignore_label: int = IGNORED
    """A label that is neither judged nor learnt from."""
    batch_axes: Mapping[str, int | None] = field(default_factory=dict)
    """The axis of the model's array that counts the examples, by input name; null: one value serves a whole call. An
    axis that is not given is found from the model and the shapes."""
    max_gb: Positive | None = None
    """The most that a file may unpack to; None: what memory and the disk of temporary files have room for."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where the file can't be read, NoExamples where the split gets no example."""
        whole = read_npz(self.path, self._reading)
        parts = _partition(self.path, self._reading, tuple(self.fractions.items()))
        return self.part(whole, parts, name, self.path)

    @property
    def _reading(self) -> Reading:
        rule = LabelRule(
            kind=self.label_kind, names=self.class_names, offset=self.label_offset, ignored=self.ignore_label
        )
        return Reading(rule=rule, batch_axes=tuple(self.batch_axes.items()), max_gb=self.max_gb)


@lru_cache(maxsize=8)
def read_npz(path: Path, reading: Reading = Reading()) -> Split:
    """Read a .npz file, or a folder with an .npy file for each array, as one split; raises UserError with the problem.

    Large arrays stay in the file; those of a file that is compressed are unpacked into temporary files.
    """
    files = sorted(path.glob("*.npy")) if path.is_dir() else []
    if not files:
        check_file(path, "give a .npz file with an array per input and, if known, 'labels'")
    arrays = dict(_from_folder(files, reading) if files else _from_npz(path, reading))
    raw_labels = arrays.pop(LABELS, None)
    if not arrays:
        raise UserError(f"{path} holds no inputs: give an array per input name of the model")
    labels = None if raw_labels is None else _labels(loaded(raw_labels), reading, path)
    return split_of(arrays, labels, reading, path)


def split_of(arrays: Arrays, labels: Labels | None, reading: Reading, path: Path | str) -> Split:
    """Arrays and their labels as one split; raises UserError, with ``path`` they are from, where they differ in their
    number of examples, or hold what no model reads."""
    inputs = _by_example(arrays, labels, reading, path)
    for name, array in inputs.items():
        _check_values(name, array, path)
    return Split(inputs, labels, origins=np.arange(count_of(inputs)))


def _from_folder(files: Sequence[Path], reading: Reading) -> Iterator[tuple[str, Array]]:
    for file in files:
        with _damage_told(file, ".npy"):
            yield file.stem, _in_place(file, 0, file.stat().st_size, reading)


def _from_npz(path: Path, reading: Reading) -> Iterator[tuple[str, Array]]:
    with _damage_told(path, ".npz"):
        check_npz(path, reading.max_gb)
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                yield member.filename.removesuffix(".npy"), _member(path, archive, member, reading)


@contextmanager
def _damage_told(path: Path, form: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise UserError(f"{path} can't be read as {form}: {first_line(error)}") from error


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, reading: Reading) -> Array:
    if member.file_size <= rows.IN_MEMORY:
        with archive.open(member) as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    if member.compress_type == zipfile.ZIP_STORED:
        return _in_place(path, _start_of(path, member), member.file_size, reading)
    with reporting_temporary(), archive.open(member) as packed, temporary_file() as unpacked:
        shutil.copyfileobj(packed, unpacked)
    return _in_place(Path(unpacked.name), 0, member.file_size, reading)


def _in_place(path: Path, start: int, size: int, reading: Reading) -> Array:
    """The array in .npy format at this byte of a file: left there where it is large and has its examples one behind the
    other."""
    region = npy_region(path, start)
    if region is not None and not region.dtype.hasobject:
        if region.end > start + size:
            raise UserError(f"{path} promises more than it holds: the file is damaged; save it anew")
        if region.shape and size > rows.IN_MEMORY:
            return Rows.of(region)
    check_memory(size, f"{path} takes", reading.max_gb, "store the examples in C order, along the first axis")
    with path.open("rb") as file:
        file.seek(start)
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _start_of(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member that is not compressed begin: behind its own header, its name and its extra field."""
    with path.open("rb") as file:
        file.seek(member.header_offset + _NAME_SIZES)
        name, extra = struct.unpack("<HH", file.read(4))
    return member.header_offset + _NAME_SIZES + 4 + int(name) + int(extra)


def _labels(raw: NDArray[Any], reading: Reading, path: Path) -> Labels:
    if not raw.ndim:
        raise UserError(f"{path}: 'labels' is a single value: give one for each example")
    return reading.rule(raw, f"{path}: 'labels'")


def _by_example(arrays: Arrays, labels: Labels | None, reading: Reading, path: Path | str) -> WithAxes[Array]:
    """The arrays with the examples first, and where the file has them otherwise."""
    told = dict(reading.batch_axes)
    count = len(labels) if labels is not None else examples_in(arrays, told)
    if not count:
        raise UserError(f"{path} holds no examples")
    found: dict[str, Array] = {}
    axes: dict[str, int | None] = {}
    for name, array in arrays.items():
        axis = axis_of(array, count, told[name]) if name in told else likely_axis(array, count)
        if axis == -1:
            raise UserError(_differing(arrays, labels, path, name, count))
        found[name] = array if axis == 0 else _examples_first(array, axis, count, reading, path)
        if name in told:
            axes[name] = told[name]
        elif axis != 0:
            axes[name] = axis
    return WithAxes(found, axes)


def _examples_first(array: Array, axis: int | None, count: int, reading: Reading, path: Path | str) -> NDArray[Any]:
    check_memory(array.nbytes, f"{path} takes", reading.max_gb, "store the examples along the first axis")
    values = loaded(array)
    return np.broadcast_to(values, (count, *values.shape)) if axis is None else np.moveaxis(values, axis, 0)


def _differing(arrays: Arrays, labels: Labels | None, path: Path | str, name: str, count: int) -> str:
    shapes = {key: list(array.shape) for key, array in arrays.items()}
    if labels is not None:
        shapes[LABELS] = list(labels.shape)
    return (
        f"{path}: the arrays differ in their number of examples ({count} by most of them): {shapes}. Give '{name}' as "
        f"many, or say which of its axes counts them: +data.batch_axes.{name}=1, or null where one value serves all"
    )


def _check_values(name: str, array: Array, path: Path | str) -> None:
    if array.dtype.kind not in "biufSU":
        raise UserError(f"{path}: '{name}' holds {array.dtype}, which no model reads: store numbers or text")
    if array.dtype.kind == "f" and not all(np.isfinite(part).all() for part in pieces(array)):
        raise UserError(f"{path}: '{name}' holds values that are not finite numbers")


@lru_cache(maxsize=8)
def _partition(path: Path, reading: Reading, fractions: tuple[tuple[str, float], ...]) -> Partition:
    return partition(read_npz(path, reading).example_hashes(), dict(fractions))
