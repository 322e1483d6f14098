"""The metric for models without classes: the cosine between a variant's output and the baseline's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.metrics.judging import VECTORS, Judging
from pipeline.metrics.outputs import place_of, taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """The cosine of the angle between a variant's output and the baseline's; for embeddings and the like.

    Labels are not used.
    """

    name: ClassVar[str] = "cosine"
    judging: ClassVar[Judging] = VECTORS
    output: int | str = 0
    """The output that is compared, by its place or name."""

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """The output [N, ...] as one vector [N, D] an example; raises UserError where the output holds no numbers."""
        return vectors_of(outputs, self.output, self.name)

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Cosine, str | None]:
        """The metric for a model with such outputs by name, and a note or None."""
        place = place_of(list(outputs), self.output)
        vectors = taken(list(outputs.values()), place, self.name)
        single = vectors.ndim > 1 and vectors[:1].size == 1
        note = "each example's output is one number: a cosine only tells whether its sign is the baseline's"
        return replace(self, output=place), note if single else None


def vectors_of(outputs: Sequence[NDArray[Any]], output: int | str, metric: str) -> NDArray[np.float32]:
    """An output [N, ...] as one vector [N, D] an example; raises UserError where the output holds no numbers."""
    vectors = taken(outputs, output, metric)
    if vectors.ndim < 2 or vectors.size == 0 or vectors.dtype.kind not in "iubf":
        raise UserError(
            f"metric '{metric}' needs output {output!r} to be a vector an example [examples, size], "
            f"but it is {vectors.dtype} {list(vectors.shape)}: name another with metric.output"
        )
    return vectors.reshape(len(vectors), -1).astype(np.float32)
