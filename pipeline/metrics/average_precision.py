"""Average precision: the area under the curve of precision over recall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.ranking import Area, Ranking


def area(own: NDArray[np.intp], others: NDArray[np.intp]) -> float:
    """The precision at each score, weighed by the recall that it adds; 0 where the class does not occur."""
    right, taken = own[::-1].cumsum(), (own + others)[::-1].cumsum()
    adds = own[::-1] > 0
    return float((own[::-1][adds] * right[adds] / taken[adds]).sum() / right[-1]) if adds.any() else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragePrecision(Ranking):
    """The average precision of class 1; the mean over the classes where there are several. Labels are needed.

    Source: Buckley & Voorhees 2000, "Evaluating evaluation measure stability".
    """

    name: ClassVar[str] = "average precision"
    area: ClassVar[Area] = staticmethod(area)
