"""Argmax: scores as classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.plan.postprocessing import Outputs
from pipeline.postprocessing.reading import scores_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Argmax:
    """The class with the highest score, the first of equals, in the output's place; the others stay."""

    output: int | str = 0
    """The output that holds the scores, by its place or name."""
    axis: int = -1
    """The axis of the classes."""

    def __call__(self, outputs: Outputs) -> Outputs:
        """The outputs with class numbers [N, ...] without the axis; raises UserError where there are no scores."""
        name, scores = scores_in(outputs, self.output)
        return {**outputs, name: scores.argmax(axis=self.axis).astype(np.int64)}
