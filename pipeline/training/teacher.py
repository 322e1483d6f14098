"""The baseline as a teacher: what it says of the training examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.artifact.torch_module import as_tensors
from pipeline.training.class_scores import LOGITS, Scores
from pipeline.training.examples import Examples, device_of
from pipeline.training.loss import Lesson, in_precision
from pipeline.training.recipe import Recipe

MOST_BYTES = 2**29
"""Outputs for all examples are kept up to this size."""


@dataclass(slots=True)
class Teacher:
    """A model to learn from."""

    model: nn.Module
    vectors: bool = False
    """Whether its output is vectors whose direction counts, instead of scores of classes."""
    scores: Scores = LOGITS
    known: Tensor | None = None
    """Its output for every training example [N, ...], where it was asked before."""

    def lesson(self, inputs: list[Tensor], chosen: NDArray[np.intp], recipe: Recipe) -> Lesson:
        """What it says of the chosen training examples, whose tensors are ``inputs``."""
        if self.known is None:
            output = self._asked(inputs, recipe)
        else:
            output = self.known[torch.from_numpy(chosen)].to(inputs[0].device)
        return Lesson(output, None if self.vectors else self.scores)

    def prepare(self, train: Examples, recipe: Recipe, tell: Callable[[str], Any]) -> None:
        """Ask it once about every example where epochs, or a training that begins anew, would ask it again and again.

        It is not asked before where there is one epoch, where each epoch changes the examples, and where its outputs
        take more than ``MOST_BYTES``.
        """
        if self.known is not None or recipe.epochs == 1 or recipe.augmentation:
            return
        device, size, count = device_of(self.model), recipe.batch_size, len(train)
        known: Tensor | None = None
        for start in range(0, count, size):
            found = self._asked(train.tensors(slice(start, start + size), device), recipe).cpu()
            if known is None:
                if found[0].nbytes * count > MOST_BYTES:
                    return
                known = found.new_empty((count, *found.shape[1:]))
            known[start : start + len(found)] = found
            tell(f"the baseline's outputs, {start + len(found)} of {count}")
        self.known = known

    @torch.no_grad()
    def _asked(self, inputs: list[Tensor], recipe: Recipe) -> Tensor:
        with in_precision(recipe, inputs[0].device):
            return self.scores.output(as_tensors(self.model(*inputs)))
