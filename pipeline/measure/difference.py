"""How far two arrays are apart. A kit carries this file to Python 3.9."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def relative_difference(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The largest difference over the largest finite value of ``first``."""
    if first.shape != second.shape:
        return float("inf")
    if first.dtype.kind not in "biuf" or second.dtype.kind not in "biuf":
        return 0.0 if np.array_equal(first, second) else float("inf")
    before, after = first.astype(np.float64), second.astype(np.float64)
    finite = np.isfinite(before)
    if not np.array_equal(before[~finite], after[~finite], equal_nan=True) or not np.isfinite(after[finite]).all():
        return float("inf")
    largest = float(np.abs(before[finite]).max(initial=0.0))
    difference = float(np.abs(before[finite] - after[finite]).max(initial=0.0))
    return difference / largest if largest else (0.0 if not difference else float("inf"))
