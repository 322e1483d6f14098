"""The examples of a Python iterable of the user's own, which may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import IGNORED, Split, SplitName
from pipeline.data.files import LABELS, Reading, split_of
from pipeline.data.hashing import Divided, Partition, partition
from pipeline.data.labels import LabelRule
from pipeline.data.rows import loaded
from pipeline.data.spool import Spool
from pipeline.errors import OutOfSpace, UserError, first_line
from pipeline.errors.user_code import user_code_error
from pipeline.libraries.installed import locate

_FORM = f"give a mapping from the model's inputs to arrays, such as {{'image': array, '{LABELS}': 3}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Iterated(Divided):
    """What a function of your own yields: for each example the array of each input by name and, where it is known, the
    class as ``labels``.

    The examples are gone through once. What is too large for memory is written to temporary files. They are split by
    the sha256 of each example's inputs (``pipeline.data.hashing``).
    """

    factory: str
    """The dotted path of a function without arguments that returns the iterable, or of the iterable itself. A sequence
    with ``__len__`` and ``__getitem__`` will do, such as a PyTorch data set that gives mappings."""
    class_names: tuple[str, ...] = ()
    augmentation: tuple[str, ...] = ()
    """Random changes of a training image that keep its label, for fine-tuning: flip, crop."""
    label_offset: int = 0
    """The number of the first class: 1 where the labels begin at 1."""
    ignore_label: int = IGNORED
    """A label that is neither judged nor learnt from."""

    @property
    def name(self) -> str:
        """The function's name."""
        return self.factory.rpartition(".")[2]

    def split(self, name: SplitName) -> Split:
        """Read one split; raises UserError where the iterable fails or yields something else, NoExamples where the
        split gets no example, OutOfSpace where the disk is full."""
        rule = LabelRule(names=self.class_names, offset=self.label_offset, ignored=self.ignore_label)
        whole, parts = _read(self.factory, rule, tuple(self.fractions.items()))
        return self.part(whole, parts, name, f"data.factory={self.factory}")


@lru_cache(maxsize=2)
def _read(factory: str, rule: LabelRule, fractions: tuple[tuple[str, float], ...]) -> tuple[Split, Partition]:
    where = f"data.factory={factory}"
    collected = _Collected(where)
    for number, example in enumerate(_examples(factory, where)):
        collected.add(number, example)
    arrays = {name: spool.array() for name, spool in collected.spools.items()}
    if not arrays:
        raise UserError(f"{where} yields no examples")
    raw = arrays.pop(LABELS, None)
    if not arrays:
        raise UserError(f"{where} yields only '{LABELS}': {_FORM}")
    labels = None if raw is None else rule(loaded(raw), f"{where}: '{LABELS}'")
    whole = split_of(arrays, labels, Reading(batch_axes=tuple((name, 0) for name in arrays)), where)
    return whole, partition(whole.example_hashes(), dict(fractions))


def _examples(factory: str, where: str) -> Iterator[Any]:
    try:
        found = locate(factory)
    except Exception as error:  # the user's own module raises what it likes
        raise UserError(
            f"{where} can't be imported: {first_line(error)}: type package.module.name of a function on the Python "
            "path that yields examples"
        ) from error
    try:
        source = found() if callable(found) else found
        indexed = hasattr(source, "__len__") and hasattr(source, "__getitem__")
        yield from (source[place] for place in range(len(source))) if indexed else source
    except (UserError, OutOfSpace):
        raise
    except Exception as error:  # the user's own code
        raise UserError(f"{where} failed: {user_code_error(error)}") from error


@dataclass(slots=True)
class _Collected:
    """Examples, as they come in."""

    where: str
    spools: dict[str, Spool] = field(default_factory=dict)
    _first: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, number: int, example: Any) -> None:
        """Put an example behind the others; raises UserError where it is none, or unlike the first."""
        if not isinstance(example, Mapping) or not example:
            raise UserError(f"{self.where} yields {_kind(example)} as example {number}: {_FORM}")
        arrays = {str(name): np.asarray(value) for name, value in example.items()}
        if not self.spools:
            self._first = arrays
            self.spools = {name: Spool() for name in arrays}
        mine, first = _described(arrays), _described(self._first)
        if mine != first:
            raise UserError(
                f"{self.where}: example {number} has {mine}, and example 0 has {first}: give all examples the same "
                "arrays, in the same shapes and types"
            )
        for name, array in arrays.items():
            self.spools[name].add(array[None])


def _kind(example: object) -> str:
    return "an empty mapping" if isinstance(example, Mapping) else f"a {type(example).__name__}"


def _described(arrays: Mapping[str, NDArray[Any]]) -> str:
    return ", ".join(f"'{name}' {array.dtype} {list(array.shape)}" for name, array in sorted(arrays.items()))
