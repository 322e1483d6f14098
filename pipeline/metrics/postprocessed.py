"""A metric behind a model's post-processing: it judges what that makes of the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.errors.user_code import user_code_error
from pipeline.metrics.judging import Judging
from pipeline.metrics.outputs import told_classes
from pipeline.plan import Metric, Postprocessing
from pipeline.plan.postprocessing import Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Postprocessed:
    """A metric of what a post-processing makes of a model's outputs. It is the metric in all else."""

    metric: Metric
    postprocessing: Postprocessing
    names: tuple[str, ...] = ()
    """The names of the model's outputs; none: their places."""
    output: int = 0
    """The place of the model's output that the post-processing reads first."""

    @property
    def name(self) -> str:
        """The metric's name."""
        return self.metric.name

    @property
    def judging(self) -> Judging | None:
        """The metric's judging; None where it has none."""
        own: Judging | None = getattr(self.metric, "judging", None)
        return own

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The metric's predictions; raises UserError where the post-processing fails."""
        return self.metric.predictions(list(self.processed(outputs).values()))

    def told(self, outputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The classes that the metric finds told [N, ...]."""
        return told_classes(self.metric, list(self.processed(outputs).values()))

    def classes(self, outputs: Sequence[NDArray[Any]]) -> int | None:
        """How many classes the metric finds; None where it does not say."""
        count = getattr(self.metric, "classes", None)
        found: int | None = None if count is None else count(list(self.processed(outputs).values()))
        return found

    def fitted(self, outputs: Mapping[str, NDArray[Any]]) -> tuple[Self, str | None]:
        """The metric for a model with such outputs by name, and the metric's note or None."""
        names = tuple(outputs)
        found = replace(self, names=names)
        made = found.processed(list(outputs.values()))
        read = getattr(self.postprocessing, "output", 0)
        found = replace(found, output=names.index(read) if isinstance(read, str) else read)
        fit = getattr(self.metric, "fitted", None)
        if fit is None:
            return found, None
        metric, note = fit(made)
        return replace(found, metric=metric), note

    def processed(self, outputs: Sequence[NDArray[Any]]) -> Outputs:
        """What the post-processing makes of the outputs, by name; raises UserError where it fails."""
        names = self.names or tuple(map(str, range(len(outputs))))
        try:
            made = self.postprocessing(dict(zip(names, outputs, strict=True)))
        except UserError:
            raise
        except Exception as error:  # the user's own code raises what it likes
            kind = type(self.postprocessing).__name__
            raise UserError(f"model.postprocessing ({kind}) failed: {user_code_error(error)}") from error
        return made if isinstance(made, Mapping) else {"predictions": np.asarray(made)}


def behind(postprocessing: Postprocessing | None, metric: Metric) -> Metric:
    """The metric of what a model's post-processing makes; the metric itself for a model without one."""
    return metric if postprocessing is None else Postprocessed(metric=metric, postprocessing=postprocessing)


def judge_of(metric: Metric) -> Metric:
    """The metric that judges predictions which are made already, without a post-processing before it."""
    return metric.metric if isinstance(metric, Postprocessed) else metric
