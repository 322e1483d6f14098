"""The area under the receiver operating characteristic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.ranking import Area, Ranking


def area(own: NDArray[np.intp], others: NDArray[np.intp]) -> float:
    """The share of pairs of an example of the class and another one in which the class's has the higher score; a tie
    counts half. 0.5 where there is no pair."""
    pairs = int(own.sum()) * int(others.sum())
    return float((own * (others.cumsum() - others / 2)).sum()) / pairs if pairs else 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Auroc(Ranking):
    """The area under the ROC curve; the mean of one class against the rest over several classes. Labels are needed.

    Source: Fawcett 2006, "An introduction to ROC analysis".
    """

    name: ClassVar[str] = "AUROC"
    area: ClassVar[Area] = staticmethod(area)
