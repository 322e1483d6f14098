"""The loss of training: the distance to labels, or to a teacher's outputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.artifact.torch_module import as_tensors
from pipeline.errors import StageFailed
from pipeline.training.class_scores import Scores, cross_entropy
from pipeline.training.recipe import Recipe

_ONE_VALUE = "Expected more than 1 value per channel"


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a teacher says of a batch: scores of classes, or vectors whose direction counts (``scores`` is None)."""

    output: Tensor
    scores: Scores | None


def in_precision(recipe: Recipe, device: torch.device) -> torch.autocast:
    """The context in which models are run while they are trained."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")


def runs_in_precision(model: nn.Module, inputs: list[Tensor], recipe: Recipe) -> bool:
    """Whether a model runs, forwards and back, in the recipe's precision: code may mix types by hand."""
    model.eval()
    try:
        with in_precision(recipe, inputs[0].device):
            outputs = as_tensors(model(*inputs))
        total = torch.stack([output.float().sum() for output in outputs if output.requires_grad]).sum()
        torch.autograd.backward(total)
    except RuntimeError:
        return False
    finally:
        model.zero_grad(set_to_none=True)
    return True


class Diverged(StageFailed):
    """The loss is no finite number any more."""


def check_loss(loss: Tensor, epoch: int, step: int, recipe: Recipe) -> None:
    """Raise Diverged where the loss is no finite number."""
    if not bool(torch.isfinite(loss)):
        raise Diverged(
            f"the loss is {loss.item()} in epoch {epoch}, step {step}: take a lower learning_rate "
            f"(it is {recipe.learning_rate:g}), or look for values in the data that are no numbers"
        )


def loss_of(
    model: nn.Module,
    inputs: list[Tensor],
    labels: Tensor | None,
    lesson: Lesson | None,
    recipe: Recipe,
    scores: Scores,
) -> Tensor:
    """Cross-entropy with the labels, and the distance to the teacher's output, as the recipe weighs them."""
    weight = recipe.distill_weight
    if weight < 1 and labels is None:
        raise ValueError("training without labels takes a teacher and distill_weight=1")
    with in_precision(recipe, inputs[0].device):
        outputs = _outputs(model, inputs)
    told = cross_entropy(scores.of(outputs), labels) if labels is not None and weight < 1 else None
    if lesson is None:
        assert told is not None
        return told
    if lesson.scores is None:
        taught = _vector_distance(scores.output(outputs), lesson.output)
    else:
        taught = _distance(scores.of(outputs), lesson.scores.logits(lesson.output), recipe.temperature)
    return taught if told is None else (1 - weight) * told + weight * taught


def _outputs(model: nn.Module, inputs: list[Tensor]) -> list[Tensor]:
    try:
        return as_tensors(model(*inputs))
    except ValueError as error:
        if _ONE_VALUE not in str(error):
            raise
        raise StageFailed(
            "batch normalization has no variance of a single value: set batch_size to 2 or more"
        ) from error


def _distance(scores: Tensor, expected: Tensor, temperature: float) -> Tensor:
    """The Kullback-Leibler divergence of the softened probabilities, times the temperature's square, which keeps the
    size of its gradient (Hinton et al. 2015, arXiv:1503.02531). Both are logits [M, C]."""
    divergence = functional.kl_div(
        functional.log_softmax(scores / temperature, 1),
        functional.log_softmax(expected / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    return divergence * temperature**2


def _vector_distance(output: Tensor, expected: Tensor) -> Tensor:
    """1 less the mean cosine of vectors [N, ...]."""
    return 1 - functional.cosine_similarity(output.flatten(1), expected.flatten(1)).mean()
