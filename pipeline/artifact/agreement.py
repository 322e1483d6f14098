"""Compares a model's outputs with another's, up to rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def close(expected: NDArray[Any], found: NDArray[Any], relative: float) -> bool:
    """Whether no value differs by more than ``relative`` times the largest value; values that are not finite must be
    the same."""
    return difference(expected, found, relative) is None


def unlike(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]], relative: float) -> str | None:
    """The difference of outputs beyond what ``close`` allows, in words; None where they agree."""
    if len(expected) != len(found):
        return f"it has {len(found)} outputs instead of {len(expected)}"
    for index, (before, after) in enumerate(zip(expected, found, strict=True)):
        reason = difference(before, after, relative)
        if reason is not None:
            return f"output {index} {reason}"
    return None


def difference(expected: NDArray[Any], found: NDArray[Any], relative: float) -> str | None:
    """The difference of one array from another beyond what is allowed, in words; None where there is none."""
    if expected.shape != found.shape:
        return f"has the shape {list(found.shape)} instead of {list(expected.shape)}"
    if expected.dtype.kind not in "biufc":
        return None if np.array_equal(expected, found) else "has other values"
    before, after = expected.astype(np.float64), found.astype(np.float64)
    known = np.isfinite(before)
    if not np.array_equal(before[~known], after[~known], equal_nan=True):
        return "is not finite in other places"
    largest = float(np.abs(before[known]).max(initial=0.0))
    apart = float(np.abs(before[known] - after[known]).max(initial=0.0))
    if not apart <= relative * largest:
        return f"differs by up to {apart:.3g}, where the largest is {largest:.3g}"
    return None
