"""How a model's output is turned into one prediction per example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

NO_PREDICTION = -1
"""Predicted where the scores hold something that is not a number; no label is -1, so it never counts as right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopOne:
    """The class with the highest score, the first of equals; its metric is top-1 accuracy."""

    name: ClassVar[str] = "accuracy"

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
        """The best class [N] of the first output's scores [N, C]; raises UserError for another shape."""
        if not outputs:
            raise UserError(f"metric '{self.name}' needs class scores, but the model returned no output")
        scores = np.asarray(outputs[0])
        if scores.ndim != 2 or scores.shape[1] == 0:
            raise UserError(
                f"metric '{self.name}' needs the model's first output to be class scores [examples, classes], "
                f"but its shape is {list(scores.shape)}: let the model return its class scores first, or write a "
                "metric for this output and select it with metric=NAME"
            )
        best: NDArray[np.int64] = scores.argmax(axis=1).astype(np.int64)
        if np.issubdtype(scores.dtype, np.floating):
            best[np.isnan(scores).any(axis=1)] = NO_PREDICTION
        return best
