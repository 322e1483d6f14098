"""The change of accuracy from labels of what two models answer differently."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.statistics.accuracy import paired_difference
from pipeline.statistics.flips import change_from_flips, labels_to_decide

Classes = NDArray[np.int64]
GAINED, LOST, NEITHER = 0.02, 0.035, 0.02
"""How often the second model alone is right, the first one alone, and neither where they differ."""


def two_models(n: int, rng: np.random.Generator) -> tuple[Classes, Classes, Classes]:
    """Labels, and what two models answer."""
    labels = rng.integers(0, 10, n)
    kind = rng.choice(4, n, p=[GAINED, LOST, NEITHER, 1 - GAINED - LOST - NEITHER])
    wrong, other = (labels + 1) % 10, (labels + 2) % 10
    both = np.where(rng.random(n) < 0.9, labels, wrong)
    before = np.choose(kind, [wrong, labels, wrong, both])
    after = np.choose(kind, [labels, wrong, other, both])
    return labels, before, after


def test_with_all_flips_labelled_it_is_the_change_over_all_examples() -> None:
    labels, before, after = two_models(1000, np.random.default_rng(0))
    found = change_from_flips(after, before, labels, after != before)
    assert found is not None
    assert found.labelled == found.flips == int((after != before).sum())
    gained = int(((after == labels) & (before != labels)).sum())
    lost = int(((after != labels) & (before == labels)).sum())
    assert found.change == paired_difference(gained, lost, 1000)


def test_labels_of_what_is_answered_alike_change_nothing() -> None:
    labels, before, after = two_models(1000, np.random.default_rng(0))
    some = np.arange(1000) % 3 == 0
    assert change_from_flips(after, before, labels, some) == change_from_flips(
        after, before, labels, some & (after != before)
    )


@pytest.mark.slow
def test_of_a_random_part_of_the_labels_the_interval_holds_the_truth() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        labels, before, after = two_models(2000, rng)
        known = np.zeros(2000, np.bool_)
        known[rng.permutation(np.flatnonzero(after != before))[:60]] = True
        found = change_from_flips(after, before, labels, known)
        assert found is not None
        held += found.change.low <= GAINED - LOST <= found.change.high
    assert held >= 0.93 * 400


def test_without_a_label_nothing_is_known_and_without_a_flip_all_is() -> None:
    labels, before, after = two_models(500, np.random.default_rng(0))
    none = np.zeros(500, np.bool_)
    assert change_from_flips(after, before, labels, none) is None
    same = change_from_flips(before, before, labels, none)
    assert same is not None
    assert same.change == paired_difference(0, 0, 500)


@pytest.mark.slow
def test_so_many_labels_decide_in_four_of_five_cases() -> None:
    rng, decided, n, share = np.random.default_rng(2), 0, 5000, 0.02
    needed = labels_to_decide(int(share * n), n, 0.01)
    assert needed is not None
    assert needed < 0.5 * share * n
    for _ in range(300):
        gained = int(rng.binomial(needed, 0.5))
        decided += paired_difference(gained, needed - gained, n * needed // int(share * n)).low > -0.01
    assert 0.7 * 300 <= decided <= 0.95 * 300


@pytest.mark.parametrize(("flips", "n", "margin"), [(60, 200, 0.01), (0, 100, 0.01), (10, 5000, 0.0)])
def test_where_all_labels_would_not_decide_there_is_no_number(flips: int, n: int, margin: float) -> None:
    assert labels_to_decide(flips, n, margin) is None
