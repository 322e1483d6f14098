"""Reads the outputs that a post-processing is set to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.plan.postprocessing import Outputs


def named(outputs: Outputs, output: int | str, field: str = "output") -> str:
    """The name of an output that is given by place or name in a post-processing's ``field``; raises UserError where
    there is none."""
    names = list(outputs)
    if isinstance(output, int) and -len(names) <= output < len(names):
        return names[output]
    if isinstance(output, str) and output in outputs:
        return output
    raise UserError(f"model.postprocessing.{field}={output} does not exist: the model's outputs are {', '.join(names)}")


def scores_in(outputs: Outputs, output: int | str) -> tuple[str, NDArray[Any]]:
    """The name and the array of an output that holds scores [N, ..., C]; raises UserError where it does not."""
    name = named(outputs, output)
    scores = np.asarray(outputs[name])
    if scores.ndim < 2 or scores.dtype.kind != "f":
        raise UserError(
            f"model.postprocessing needs output '{name}' to be scores [examples, ..., classes], but it is "
            f"{scores.dtype} {list(scores.shape)}: name another with model.postprocessing.output"
        )
    return name, scores
