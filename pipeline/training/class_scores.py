"""Scores of classes in the form that a loss wants, whatever form the model gives.

A model may give logits [N, C], one logit [N] or [N, 1] of class 1 against class 0, probabilities (it ends in a sigmoid
or a softmax), or scores for each token [N, T, C] or pixel [N, C, H, W].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.artifact.torch_module import as_tensors
from pipeline.data.dataset import IGNORED, Labels
from pipeline.errors import StageFailed
from pipeline.metrics import output_of
from pipeline.plan import Metric
from pipeline.training.examples import Examples, device_of

Ending = Literal["logits", "sigmoid", "softmax"]
_LEAST = 1e-6
"""Probabilities are kept this far from 0 and 1: their logarithm has to be finite."""
_SAME_VALUES = ("View", "Unsafe", "Squeeze", "Unsqueeze", "Select", "Reshape", "Alias", "Clone", "ToCopy", "Flatten",
                "Transpose", "Permute", "T")  # fmt: skip
"""How the names of autograd's nodes begin that hand values on as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Where a model's scores are, and which form they have."""

    place: int = 0
    ending: Ending = "logits"

    def output(self, outputs: Sequence[Tensor]) -> Tensor:
        """The output itself, in single precision."""
        return outputs[self.place].float()

    def of(self, outputs: Sequence[Tensor]) -> Tensor:
        """Logits [M, C] of M examples, tokens or pixels, from all outputs."""
        return self.logits(self.output(outputs))

    def logits(self, output: Tensor) -> Tensor:
        """Logits [M, C] from the output itself. A single column becomes (0, logit), whose softmax is its sigmoid."""
        if self.ending == "sigmoid":
            output = torch.logit(output, _LEAST)
        elif self.ending == "softmax":
            output = output.clamp_min(_LEAST).log()
        if output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1):
            single = output.reshape(-1)
            return torch.stack([torch.zeros_like(single), single], 1)
        if output.ndim > 3:
            output = output.movedim(1, -1)
        return output.flatten(0, -2)


LOGITS = Scores()


def scores_of(model: nn.Module, examples: Examples, metric: Metric, *, labelled: bool) -> Scores:
    """The form in which a model gives the scores that a metric judges, found by running the model on two examples. The
    model is then in evaluation mode.

    Raises StageFailed where training needs the labels and these are none of the model's classes.
    """
    model.eval()
    device = device_of(model)
    place = output_of(metric)
    with torch.inference_mode(False), torch.enable_grad():
        outputs = as_tensors(model(*examples.tensors(slice(0, 2), device)))
    if not isinstance(place, int) or not 0 <= place < len(outputs):
        raise StageFailed(f"the model has {len(outputs)} outputs, and the scores should be output {place}")
    found = Scores(place=place, ending=_ending(outputs[place]))
    if labelled and examples.labels is not None:
        _check_shape(found.output(outputs), examples.labels)
        _check_labels(examples, found.of([output.detach() for output in outputs]).shape[1])
    return found


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """The mean cross-entropy over all that is labelled; scores are logits [M, C]."""
    return functional.cross_entropy(scores, labels.reshape(-1).long(), ignore_index=IGNORED)


def _check_shape(output: Tensor, labels: Labels) -> None:
    """Raise StageFailed where scores [N, C], [N, T, C] or [N, C, H, W] are not one row for each label."""
    sizes = list(output.shape[1:])
    told = sizes[1:] if len(sizes) > 2 else sizes[:-1]
    if math.prod(told) != math.prod(labels.shape[1:]):
        classes, given = (", ".join(map(str, ["N", *shape])) for shape in (told, labels.shape[1:]))
        raise StageFailed(
            f"the model tells classes [{classes}], and the labels are [{given}]: let metric.output name the output "
            "with the class scores"
        )


def _check_labels(examples: Examples, classes: int) -> None:
    assert examples.labels is not None
    if examples.labels.dtype.kind not in "iu":
        raise StageFailed(
            "training on labels takes class numbers, and the labels are numbers with fractions, boxes or texts"
        )
    labels = examples.labels[examples.labels != IGNORED]
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise StageFailed(
            f"labels run from {labels.min()} to {labels.max()}, and the model has classes 0 to {classes - 1}"
        )


def _ending(output: Tensor) -> Ending:
    """The form of the scores, by the last operation that changed values."""
    node = output.grad_fn
    while node is not None and node.name().startswith(_SAME_VALUES) and node.next_functions:
        node = node.next_functions[0][0]
    name = "" if node is None else node.name()
    if name.startswith("Sigmoid"):
        return "sigmoid"
    return "softmax" if name.startswith(("Softmax", "SafeSoftmax")) else "logits"
