"""The examples that a PyTorch model learns from and is judged by, as its tensors, and a score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.artifact.torch_module import ModelInput, as_tensors
from pipeline.data.dataset import Labels, Split, SplitName
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import Skipped, StageFailed
from pipeline.metrics import TopOne, in_classes, judging_of, merit, told_classes
from pipeline.plan import Context, Metric

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Examples:
    """Raw examples, and the model's inputs in order, each with its preprocessing by name."""

    split: Split
    inputs: tuple[ModelInput, ...]
    preprocessing: Mapping[str, Preprocessing]

    def __len__(self) -> int:
        return len(self.split)

    @property
    def labels(self) -> Labels | None:
        """The label of each example [N, ...]; None where there are none."""
        return self.split.labels

    def label_tensor(self, chosen: slice | NDArray[np.intp], device: torch.device) -> Tensor | None:
        """The labels of the chosen examples; None where there are none, or they are texts, which nothing is learnt
        from."""
        if self.labels is None or self.labels.dtype.kind == "U":
            return None
        return torch.from_numpy(self.labels[chosen]).to(device)

    def first(self, count: int | None) -> Examples:
        """The first examples, this many of them; None: all."""
        return self if count is None else replace(self, split=self.split.take(0, count))

    def batches(self, size: int, device: torch.device) -> Iterator[list[Tensor]]:
        """All examples as the model's arguments, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.tensors(slice(start, start + size), device)

    def tensors(
        self,
        chosen: slice | NDArray[np.intp],
        device: torch.device,
        change: Callable[[NDArray[Any]], NDArray[Any]] = lambda raw: raw,
    ) -> list[Tensor]:
        """The chosen examples as the model's arguments; ``change`` is applied to the raw values."""
        tensors = []
        for entry in self.inputs:
            raw = change(self.split.inputs[entry.name][chosen])
            array = self.preprocessing.get(entry.name, Preprocessing())(raw)
            tensors.append(torch.from_numpy(np.ascontiguousarray(array)).to(device, getattr(torch, entry.dtype)))
        return tensors


def calibration_examples(
    context: Context, inputs: tuple[ModelInput, ...], what: str, most: int | None = None
) -> Examples:
    """The first of the calibration split, at ``most`` so many; raises StageFailed where there are none, and says
    ``what`` needs them."""
    split = context.data.split("calibration")
    if not split.inputs or not len(split):
        raise StageFailed(f"{what} needs calibration data: set data.calibration_size above 0")
    return examples_of(context, "calibration", inputs).first(most)


def examples_of(context: Context, split: SplitName, inputs: tuple[ModelInput, ...]) -> Examples:
    """A split of a stage's data set; raises StageFailed where the split lacks an input of the model."""
    found = context.data.split(split)
    for entry in inputs:
        if entry.name not in found.inputs:
            raise StageFailed(f"the {split} split has no input '{entry.name}'; it has {', '.join(found.inputs)}")
    return Examples(found, inputs, context.preprocessing)


def training_examples(
    context: Context,
    inputs: tuple[ModelInput, ...],
    *,
    what: str,
    batch_size: int,
    max_examples: int | None,
    without_labels: str | None = None,
) -> tuple[Examples, Examples]:
    """The first ``max_examples`` of the train split, and the validation split, which tells how training goes. Raises
    Skipped where there is less than a batch, StageFailed where labels are missing. ``what`` is trained begins the
    sentence of the error; ``without_labels`` ends it with what to do then, and None asks for no labels."""
    train, validation = (examples_of(context, split, inputs) for split in ("train", "validation"))
    train = train.first(max_examples)
    for split, examples in (("train", train), ("validation", validation)):
        if examples.labels is None and without_labels is not None:
            raise StageFailed(
                f"{what} needs labels, and the {split} split of {context.data.name} has none{without_labels}"
            )
    if len(train) < batch_size:
        raise Skipped(
            f"{what} needs at least one batch of {batch_size} training examples, and there are {len(train)}: set "
            f"batch_size to {len(train)} or less"
        )
    return train, validation


def best_device() -> torch.device:
    """The device that a stage computes on with PyTorch: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(model: nn.Module) -> torch.device:
    """The device that a model computes on; the CPU for a model without parameters."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


@torch.no_grad()
def predictions(model: nn.Module, examples: Examples, metric: Metric, batch_size: int = _BATCH) -> NDArray[Any]:
    """The metric's predictions from the model's outputs, for all examples; the model is left in evaluation mode."""
    model.eval()
    device = device_of(model)
    found = []
    for start in range(0, len(examples), batch_size):
        outputs = model(*examples.tensors(slice(start, start + batch_size), device))
        found.append(metric.predictions([tensor.float().cpu().numpy() for tensor in as_tensors(outputs)]))
    return np.concatenate(found)


def tells_classes(model: nn.Module, examples: Examples, metric: Metric) -> bool:
    """Whether the metric takes the model's outputs for classes, by two examples; the model is left in evaluation
    mode."""
    model.eval()
    with torch.no_grad():
        outputs = as_tensors(model(*examples.tensors(slice(0, 2), device_of(model))))
    return in_classes(told_classes(metric, [tensor.float().cpu().numpy() for tensor in outputs]))


def truth_of(model: nn.Module, examples: Examples, metric: Metric) -> NDArray[Any]:
    """The truth for the examples: their labels where they have any that the metric uses, else the predictions of
    ``model``.

    Raises UserError where the metric does not fit the model's outputs.
    """
    own = predictions(model, examples, metric)
    labels = judging_of(metric, own).labels(own, examples.labels)
    return own if labels is None else labels


def score(model: nn.Module, examples: Examples, metric: Metric, truth: NDArray[Any]) -> float:
    """The metric's figure of the model, negative where less of it is better: the largest is the best."""
    own = predictions(model, examples, metric)
    return merit(judging_of(metric, own), own, truth)


def accuracy(model: nn.Module, examples: Examples, metric: Metric | None = None) -> float:
    """The metric's figure on labelled examples; by default the share that is right by the largest logit. The model is
    left in evaluation mode."""
    if examples.labels is None:
        raise ValueError("accuracy needs labels")
    return score(model, examples, metric or TopOne(), examples.labels)


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The layers that normalize by statistics from the training."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]


@torch.no_grad()
def estimate_batch_norms(model: nn.Module, examples: Examples, batch_size: int) -> None:
    """Gather the statistics of batch normalization anew: their mean over batches of these examples, labels unused.

    Everything else stays; dropout is off. An incomplete last batch is left out, unless it is the only one. The model is
    left in evaluation mode.
    """
    layers = batch_norms(model)
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches instead of a moving one
        layer.train()
    device = device_of(model)
    for start in _starts(len(examples), batch_size):
        model(*examples.tensors(slice(start, start + batch_size), device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.eval()


def _starts(count: int, size: int) -> Sequence[int]:
    return range(0, count - size + 1, size) if count >= size else [0]
