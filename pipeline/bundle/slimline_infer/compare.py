"""Compares outputs with the golden ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .values import Arrays, printable


def compare(expected: Arrays, found: Arrays, golden: Mapping[str, Any]) -> tuple[list[str], float]:
    """The outputs that differ by more than the manifest's ``golden`` entry allows, and the largest relative difference.

    Numbers with a fraction may differ by ``relative_tolerance`` of the output's largest magnitude; the share of equal
    classes (highest scores of an output [N, C], or equal whole numbers) must be at least ``agreement``.
    """
    problems: list[str] = []
    largest = 0.0
    for name, wanted in expected.items():
        got, told = found[name], f"output '{printable(name)}'"
        if got.shape != wanted.shape:
            problems.append(f"{told} has shape {list(got.shape)}, not {list(wanted.shape)}")
            continue
        difference = relative_difference(wanted, got) if wanted.dtype.kind == "f" else 0.0
        largest = max(largest, difference)
        if not difference <= golden["relative_tolerance"]:
            problems.append(f"{told} differs by {difference:.2g} (allowed: {golden['relative_tolerance']:g})")
        agreement = class_agreement(wanted, got)
        if agreement < golden["agreement"]:
            problems.append(f"{told}: {agreement:.0%} of the classes agree (at least {golden['agreement']:.0%})")
    return problems, largest


def relative_difference(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    """The largest difference over the largest finite magnitude; infinite where one array holds a number and the other
    does not."""
    finite = np.isfinite(wanted)
    if not np.array_equal(wanted[~finite], got[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    reference = wanted[finite].astype(np.float64)
    magnitude = max(float(np.abs(reference).max()), float(np.finfo(np.float32).tiny))
    return float(np.abs(got[finite].astype(np.float64) - reference).max()) / magnitude


def class_agreement(wanted: NDArray[Any], got: NDArray[Any]) -> float:
    """The share of equal classes in scores [N, C], or of equal whole numbers; 1 for other outputs."""
    if wanted.dtype.kind != "f":
        return float(np.mean(wanted == got)) if wanted.size else 1.0
    if wanted.ndim != 2 or wanted.shape[1] < 2:
        return 1.0
    return float(np.mean(wanted.argmax(axis=1) == got.argmax(axis=1)))
