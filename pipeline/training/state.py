"""The state of a training between two steps, which is kept so that it can go on."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline.folders.writing import whole
from pipeline.training.examples import device_of
from pipeline.training.recipe import Recipe

logger = logging.getLogger(__name__)
_BELOW_ONE_STEP = 1e-6


@dataclass(slots=True)
class State:
    """Everything that training changes; a checkpoint holds it."""

    recipe: Recipe
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    average: AveragedModel | None
    history: list[float]
    best: dict[str, Tensor] | None

    @classmethod
    def new(cls, model: nn.Module, recipe: Recipe, steps: int) -> State:
        """The state that training begins with."""
        optimizer = optimizer_for(model, recipe)
        schedule = schedule_for(optimizer, recipe, steps * recipe.epochs)
        average = None if recipe.average is None else average_of(model, recipe.average)
        return cls(recipe, model, optimizer, schedule, average, [], None)

    @property
    def judged(self) -> nn.Module:
        """The model to judge and to keep: the average, where there is one."""
        module: nn.Module = self.model if self.average is None else self.average.module
        return module

    @property
    def is_over(self) -> bool:
        """Whether the last epoch is done, or the best one lies ``patience`` epochs back."""
        epochs, patience = len(self.history), self.recipe.patience
        if epochs == self.recipe.epochs:
            return True
        return patience is not None and epochs > 0 and epochs - 1 - self.best_epoch >= patience

    @property
    def best_epoch(self) -> int:
        """The first of equals."""
        return int(np.argmax(self.history))

    def step(self, loss: Tensor) -> None:
        """One step of the optimizer and of its schedule."""
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def remember_best(self) -> None:
        """Keep the weights where this epoch is the best so far, if training may stop early."""
        if self.recipe.patience is not None and self.best_epoch == len(self.history) - 1:
            self.best = {name: tensor.detach().clone() for name, tensor in self.judged.state_dict().items()}

    def finish(self) -> None:
        """Leave in the model what is to be kept."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        elif self.average is not None:
            self.model.load_state_dict(self.judged.state_dict())
        self.model.eval()

    def save(self, checkpoint: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        plain = {
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "history": self.history,
            "best": self.best,
        }
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with whole(checkpoint) as temporary:
            torch.save(plain, temporary)

    def resume(self, checkpoint: Path) -> None:
        """Go on from the checkpoint, where there is one of this recipe."""
        if not checkpoint.exists():
            return
        plain = torch.load(checkpoint, map_location=device_of(self.model), weights_only=True)
        if plain["recipe"] != asdict(self.recipe):
            return
        self.model.load_state_dict(plain["model"])
        self.optimizer.load_state_dict(plain["optimizer"])
        self.schedule.load_state_dict(plain["schedule"])
        if self.average is not None:
            self.average.load_state_dict(plain["average"])
        self.history, self.best = plain["history"], plain["best"]
        logger.info("training goes on after epoch %d of %d", len(self.history), self.recipe.epochs)


def optimizer_for(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer that the recipe names."""
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        model.parameters(),
        recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )


def schedule_for(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    """How the learning rate changes over ``steps`` steps."""
    if recipe.schedule == "one_cycle":
        rising = recipe.warmup_fraction
        if math.isclose(rising * steps, 1):  # torch divides by the steps that rise, less one
            rising *= 1 - _BELOW_ONE_STEP
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=max(steps, 2), pct_start=rising
        )
    warmup = recipe.warmup_fraction * steps

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / (steps - warmup))))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """Statistics of batch normalization are averaged as the weights are; counters are copied."""

    def update(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        if not averaged.is_floating_point():
            return current
        keep = min(decay, (1 + int(steps)) / (10 + int(steps)))
        return averaged.lerp(current, 1 - keep)

    return AveragedModel(model, avg_fn=update, use_buffers=True)
