"""One set of examples in splits, by the sha256 of each example."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.data.dataset import Split, SplitName
from pipeline.errors import UserError

SPLITS: tuple[SplitName, ...] = ("train", "validation", "calibration", "test")
SMALLEST = {"test": 20, "calibration": 8}
DEFAULT_FRACTIONS: Mapping[str, float] = {"test": 0.5, "train": 0.3, "calibration": 0.1, "validation": 0.1}


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise ValueError for a split that doesn't exist, or shares that are none."""
    unknown = sorted(set(fractions) - set(SPLITS))
    if unknown:
        raise ValueError(f"fractions.{unknown[0]} does not exist; available: {', '.join(SPLITS)}")
    if any(not 0 <= value <= 1 for value in fractions.values()) or sum(fractions.values()) > 1 + 1e-9:
        raise ValueError(f"fractions must lie between 0 and 1 and add up to at most 1 (got {dict(fractions)})")


def check_sizes(calibration_size: int, test_size: int | None) -> None:
    """Raise ValueError for sizes that are none."""
    if calibration_size < 0:
        raise ValueError(f"calibration_size must be at least 0 (got {calibration_size})")
    if test_size is not None and test_size < 1:
        raise ValueError(f"test_size must be at least 1 (got {test_size})")


def limited(split: Split, name: SplitName, calibration_size: int, test_size: int | None) -> Split:
    """No more examples than were asked for."""
    limit = {"calibration": calibration_size, "test": test_size}.get(name)
    return split if limit is None else split.take(0, limit)


def partition(hashes: list[str], fractions: Mapping[str, float]) -> dict[str, list[int]]:
    """The positions of each split's examples.

    Sorted by hash, the first ``fractions.test`` of the distinct examples are test (in the order of ``fractions``), and
    so on: equal examples share a split, and the same examples always give the same splits.
    """
    by_hash: dict[str, list[int]] = {}
    for index, digest in enumerate(hashes):
        by_hash.setdefault(digest, []).append(index)
    ordered = [by_hash[digest] for digest in sorted(by_hash)]
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    start = 0.0
    for name, fraction in fractions.items():
        first, last = round(start * len(ordered)), round((start + fraction) * len(ordered))
        parts[name] = [index for group in ordered[first:last] for index in group]
        start += fraction
    return parts


def take_part(
    whole: Split, parts: Mapping[str, list[int]], fractions: Mapping[str, float], name: SplitName, where: object
) -> Split:
    """One split of ``whole``; raises UserError, naming ``where`` the examples are from, where it is too small."""
    chosen = parts[name]
    needed = SMALLEST.get(name, 1)
    if len(chosen) < needed:
        fraction = fractions.get(name, 0.0)
        hint = (
            f"at least {int(np.ceil(needed / fraction))} different examples are needed, or a larger"
            if fraction > 0
            else "set"
        )
        raise UserError(
            f"{where} has {len(whole)} examples, too few for the {name} split "
            f"({len(chosen)}, needed {needed}): {hint} data.fractions.{name}"
        )
    labels = None if whole.labels is None else whole.labels[chosen]
    return Split({key: array[chosen] for key, array in whole.inputs.items()}, labels)
