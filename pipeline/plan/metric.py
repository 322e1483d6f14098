"""The type of a metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray


class Metric(Protocol):
    """A metric: how an output is judged, example by example.

    A metric may have more:

    - ``judging``: how predictions are judged, and in which unit (``pipeline.metrics.Judging``);
    - ``output``: the place of the output that it reads, 0 without;
    - ``fitted``: from the model's outputs by name, the metric for this model and a note or None;
    - ``classes``: how many classes there are;
    - ``told``: from the model's outputs the classes that it tells [N, ...], where the predictions are others (scores,
      say).
    """

    @property
    def name(self) -> str:
        """The name of the figure."""
        ...

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """One prediction an example, from the model's outputs for a batch of N, the examples first.

        Their type says how they are judged, unless the metric has a ``judging``. Whole numbers are classes, right or
        wrong: [N], or [N, ...] for several an example, of which the share that is right counts. Labels of that shape
        judge them, else the baseline's predictions. Other numbers are vectors [N, D], judged by their cosine to the
        baseline's.
        """
        ...
