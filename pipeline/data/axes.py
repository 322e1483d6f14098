"""Finds the axis of an array that counts the examples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.data.rows import Array


def examples_in(arrays: Mapping[str, Array], told: Mapping[str, int | None]) -> int:
    """How many examples the arrays hold: the size that most of them have on some axis, out of their first axes' sizes
    and the sizes that are ``told``."""
    sizes = [
        array.shape[told.get(name) or 0]
        for name, array in arrays.items()
        if array.ndim > (told.get(name) or 0) and told.get(name, 0) is not None
    ]
    return max(sizes, key=lambda size: (sum(size in array.shape for array in arrays.values()), size), default=0)


def axis_of(array: Array, count: int, told: int | None) -> int | None:
    """The axis that counts the examples: axis ``told`` (the model's), or the first; -1 where it is neither. None: the
    array is one value for all."""
    if told is None:
        return 0 if array.shape[:1] == (count,) else None
    if array.ndim > told and array.shape[told] == count:
        return told
    return 0 if array.shape[:1] == (count,) else -1


def likely_axis(array: Array, count: int) -> int | None:
    """The axis that counts the examples, by the shape only; -1 where it can't be told.

    It is the first axis, or the only one of that size. A scalar, and an array of a single row, is one value for all.
    """
    if array.shape[:1] == (count,):
        return 0
    fitting = np.flatnonzero(np.array(array.shape) == count).tolist()
    if len(fitting) == 1:
        return int(fitting[0])
    return None if array.shape[:1] in ((), (1,)) and not fitting else -1
