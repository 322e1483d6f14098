"""Scores how much a channel matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pipeline.artifact.torch_module import ModelSpec, as_tensors
from pipeline.plan import Context
from pipeline.stages.pruning.groups import Prunable

if TYPE_CHECKING:
    import torch
    from torch import nn
Importance = Literal["l1", "l2", "bn_scale", "lamp", "taylor", "reconstruction", "random"]
CALIBRATED: frozenset[Importance] = frozenset({"taylor", "reconstruction"})
"""What looks at calibration examples."""
BATCH = 32


def scorer(name: Importance) -> Callable[[Any], torch.Tensor | None]:
    """A function from a group to a score for each channel of its first layer; None where the group has nothing to judge
    by."""
    from torch_pruning import importance

    choices: Mapping[str, Any] = {
        "l1": lambda: importance.GroupMagnitudeImportance(p=1),
        "l2": lambda: importance.GroupMagnitudeImportance(p=2),
        "bn_scale": importance.BNScaleImportance,
        "lamp": importance.LAMPImportance,
        "taylor": importance.GroupTaylorImportance,
        "random": importance.RandomImportance,
    }
    score: Callable[[Any], torch.Tensor | None] = choices[name]()
    return score


def unit_scores(prunable: Prunable, score: Callable[[Any], torch.Tensor | None]) -> torch.Tensor | None:
    """The mean score of each unit's channels. A score that can't be compared (0 / 0) counts as 0."""
    import torch

    channels = score(prunable.group)
    if channels is None:
        return None
    channels = torch.nan_to_num(channels.detach().double())
    return torch.stack([channels[list(unit)].mean() for unit in prunable.units])


def accumulate_gradients(module: nn.Module, spec: ModelSpec, context: Context, examples: int) -> int:
    """Leave in each parameter the gradient of the loss on the first calibration examples; returns how many examples
    there were.

    The loss is the mean cross-entropy where they have labels, else the mean squared norm of the outputs (Molchanov et
    al. 2019, CVPR). Raises StageFailed without examples.
    """
    import torch

    from pipeline.training.examples import calibration_examples

    chosen = calibration_examples(context, spec.inputs, "importance=taylor", examples)
    device = next(module.parameters()).device
    module.zero_grad(set_to_none=False)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
        parameter.grad = torch.zeros_like(parameter)
    for start in range(0, len(chosen), BATCH):
        batch = slice(start, start + BATCH)
        outputs = as_tensors(module(*chosen.tensors(batch, device)))
        labels = chosen.label_tensor(batch, device)
        (_loss(outputs, labels) / len(chosen)).backward()  # type: ignore[no-untyped-call]
    return len(chosen)


def reconstruction_scores(
    prunables: Sequence[Prunable], module: nn.Module, spec: ModelSpec, context: Context, examples: int
) -> list[torch.Tensor | None]:
    """For each group the scores of its units by the first calibration examples (``reconstruction.scores``); raises
    StageFailed without examples."""
    from pipeline.stages.pruning.reconstruction import scores
    from pipeline.stages.pruning.refit import mask_of
    from pipeline.training.examples import calibration_examples

    chosen = calibration_examples(context, spec.inputs, "importance=reconstruction", examples)
    device = next(module.parameters()).device
    return scores(prunables, module, lambda: chosen.batches(BATCH, device), mask_of(spec.inputs))


def _loss(outputs: list[torch.Tensor], labels: torch.Tensor | None) -> torch.Tensor:
    """Summed over the examples. Labels belong to the first output of classes, [N, C] or one logit [N, 1]."""
    import torch

    from pipeline.training.class_scores import Scores

    if labels is not None and labels.ndim == 1 and not labels.is_floating_point() and not bool((labels < 0).any()):
        for place, output in enumerate(outputs):
            scores = Scores(place=place).of(outputs) if output.is_floating_point() and 0 < output.ndim < 3 else None
            if scores is not None and len(scores) == len(labels) and scores.shape[1] > int(labels.max()):
                return torch.nn.functional.cross_entropy(scores, labels.long(), reduction="sum")
    return torch.stack([(output**2).sum() for output in outputs if output.is_floating_point()]).sum()
