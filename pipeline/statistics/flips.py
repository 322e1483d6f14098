"""What labels of the examples alone that two models answer differently tell about the change of accuracy.

Where two models give the same answer, both are right or both are wrong, and the change of accuracy does not move. So
only examples that are answered differently (flips) need labels, however many examples there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.statistics.accuracy import PairedDifference, examples_to_decide, paired_difference


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledFlips:
    """The flips of two models, and the change of accuracy that their labels show."""

    flips: int
    labelled: int
    change: PairedDifference


def change_from_flips(
    after: NDArray[np.int64], before: NDArray[np.int64], labels: NDArray[np.int64], known: NDArray[np.bool_]
) -> LabelledFlips | None:
    """The change of accuracy from ``before`` to ``after``, classes [N], by the ``labels`` [N] that are ``known`` [N];
    None where flips have no label at all.

    Where all flips have labels it is the change over all N examples, with Tango's interval, as if all examples had
    labels. Where only a random part of the flips has, it is that of the same part of all examples: M of F labelled
    flips stand for N * M / F examples.
    """
    flipped = np.asarray(after != before)
    judged = flipped & known
    flips, labelled, n = int(flipped.sum()), int(judged.sum()), len(after)
    if flips and not labelled:
        return None
    gained = int((after[judged] == labels[judged]).sum())
    lost = int((before[judged] == labels[judged]).sum())
    stands_for = n * labelled // flips if flips else n
    change = paired_difference(gained, lost, max(stands_for, labelled))
    return LabelledFlips(flips=flips, labelled=labelled, change=change)


def labels_to_decide(flips: int, n: int, margin: float) -> int | None:
    """About how many labelled flips, of those among ``n`` examples, show with a chance of 80 % that no more than
    ``margin`` is lost, where as many are gained as lost; None where all flips would not be enough."""
    if margin <= 0:
        return None
    examples = examples_to_decide(flips / n, margin, margin)
    return None if examples > n else math.ceil(examples * flips / n)
