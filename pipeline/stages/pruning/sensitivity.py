"""Measures how much each group of layers is missed: pruned by itself, before any training, and judged on the validation
split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.artifact.torch_module import ModelSpec
from pipeline.errors import StageFailed, UserError
from pipeline.plan import Context

if TYPE_CHECKING:
    from torch import nn


def sensitivity(
    make: Callable[[Mapping[str, float]], nn.Module],
    whole: nn.Module,
    groups: Sequence[tuple[str, ...]],
    ratios: Sequence[float],
    spec: ModelSpec,
    context: Context,
) -> dict[str, Any]:
    """The score (the metric's, 1 at best) of the whole model, and of the model with each group of layers pruned by each
    ratio.

    ``make`` prunes a fresh copy: each named layer by its ratio, and nothing else. Labels judge where the metric uses
    them, else the whole model's own output. Raises StageFailed without validation examples, and where the metric does
    not fit the model.
    """
    from pipeline.training.examples import examples_of, score, truth_of

    examples = examples_of(context, "validation", spec.inputs)
    if not len(examples):
        raise StageFailed("sensitivity is judged on the validation split, and it has no examples")
    try:
        truth = truth_of(whole, examples, context.metric)
    except UserError as error:
        raise StageFailed(str(error)) from error
    found = []
    for number, layers in enumerate(groups):
        context.progress(0.9 * number / len(groups), f"{layers[0]} pruned alone")
        scores = {
            f"{ratio:g}": score(make(dict.fromkeys(layers, ratio)), examples, context.metric, truth) for ratio in ratios
        }
        found.append({"layers": list(layers), "score": scores})
    return {"metric": context.metric.name, "before": score(whole, examples, context.metric, truth), "groups": found}
