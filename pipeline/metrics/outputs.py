"""Finds the output of a model that a metric reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.errors.names import unknown
from pipeline.plan import Metric


def output_of(metric: Metric) -> int | str:
    """The output that a metric reads, by its place or name; the first where the metric doesn't say."""
    output: int | str = getattr(metric, "output", 0)
    return output


def place_read(metric: Metric, count: int) -> int:
    """The place of the output that a fitted metric reads among ``count``; 0 where there is none: the metric says what
    is wrong."""
    output = output_of(metric)
    return output if isinstance(output, int) and -count <= output < count else 0


def told_classes(metric: Metric, outputs: Sequence[Any]) -> NDArray[Any]:
    """The classes that a model tells [N, ...], by the metric's ``told`` where its predictions are others; the
    predictions where the metric judges no classes."""
    told = getattr(metric, "told", metric.predictions)
    found: NDArray[Any] = told(outputs)
    return found


def taken(outputs: Sequence[Any], output: int | str, metric: str) -> NDArray[Any]:
    """The output that a metric reads; raises UserError where the model has none there, or it is no array."""
    if not outputs:
        raise UserError(f"metric '{metric}' needs an output, but the model returned none")
    if isinstance(output, str) or not -len(outputs) <= output < len(outputs):
        raise UserError(f"metric.output={output} does not exist: the model has outputs 0 to {len(outputs) - 1}")
    found = outputs[output]
    if isinstance(found, (list, dict)):
        raise UserError(
            f"metric '{metric}' needs output {output} to be an array, but it is a sequence or map: name another with "
            "metric.output"
        )
    return np.asarray(found)


def place_of(names: Sequence[str], output: int | str) -> int:
    """The place of the named output; raises UserError where there is none of that name."""
    if isinstance(output, int):
        return output
    if output in names:
        return list(names).index(output)
    raise UserError(unknown(f"metric.output={output}", output, names, "the model's outputs"))
