"""One training loop: the reference model's recipe and the fine-tuning stage both use it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.data.augmentation import augment
from pipeline.data.preprocessing import Preprocessing

logger = logging.getLogger(__name__)

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum and a one-cycle learning rate.

    Smith & Topin 2018, arXiv:1708.07120.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 128
    weight_decay: float = 5e-4
    momentum: float = 0.9
    warmup_fraction: float = 0.2
    augmentation: tuple[str, ...] = ()
    channels_last: bool = False
    """About a quarter faster on CPUs, but torch 2.13 corrupts memory in the backward pass of some convolutions with few
    channels: only for a model that it was tried on."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Examples:
    """Raw inputs [N, ...] and class labels [N]."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64]


@torch.no_grad()
def accuracy(model: nn.Module, examples: Examples, preprocessing: Preprocessing, batch_size: int = 500) -> float:
    """The share of examples whose largest logit is the label's; the model is left in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    correct = 0
    for start in range(0, len(examples.labels), batch_size):
        inputs = torch.from_numpy(preprocessing(examples.inputs[start : start + batch_size])).to(device)
        labels = torch.from_numpy(examples.labels[start : start + batch_size]).to(device)
        correct += int((model(inputs).argmax(1) == labels).sum())
    return correct / len(examples.labels)


def fit(
    model: nn.Module,
    train: Examples,
    validation: Examples,
    preprocessing: Preprocessing,
    recipe: Recipe,
    checkpoint: Path,
    progress: Progress,
) -> list[float]:
    """Train ``model`` in place; returns the validation accuracy after each epoch.

    Each epoch draws its order and augmentations from (seed, epoch), and its end is written to ``checkpoint``: a run
    that was stopped goes on after the last whole epoch and ends with the same numbers. The checkpoint is removed at the
    end.
    ``progress`` gets the share done and a line such as ``epoch 1/2 loss 0.31, validation 91.20 %``.
    """
    device = next(model.parameters()).device
    optimizer = torch.optim.SGD(
        model.parameters(),
        recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    steps = len(train.labels) // recipe.batch_size
    if steps == 0:
        raise ValueError(
            f"training needs at least one batch of {recipe.batch_size} examples, there are {len(train.labels)}"
        )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps * recipe.epochs, pct_start=recipe.warmup_fraction
    )
    history = _resume(checkpoint, recipe, model, optimizer, schedule)
    loss_function = nn.CrossEntropyLoss()
    for epoch in range(len(history), recipe.epochs):
        rng = np.random.default_rng([recipe.seed, epoch])
        torch.manual_seed(recipe.seed * 1_000_003 + epoch)
        order = rng.permutation(len(train.labels))
        model.train()
        started = time.monotonic()
        for step in range(steps):
            chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            raw = augment(train.inputs[chosen], recipe.augmentation, rng)
            inputs = torch.from_numpy(np.ascontiguousarray(preprocessing(raw))).to(device)
            if recipe.channels_last:
                inputs = inputs.to(memory_format=torch.channels_last)
            loss = loss_function(model(inputs), torch.from_numpy(train.labels[chosen]).to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 10 == 0:
                done = (epoch + step / steps) / recipe.epochs
                progress(done, f"epoch {epoch + 1}/{recipe.epochs} loss {loss.item():.3f}")
        history.append(accuracy(model, validation, preprocessing))
        _save(checkpoint, recipe, model, optimizer, schedule, history)
        seconds = time.monotonic() - started
        progress(
            (epoch + 1) / recipe.epochs,
            f"epoch {epoch + 1}/{recipe.epochs} validation {history[-1]:.2%}, {seconds:.0f} s",
        )
    checkpoint.unlink(missing_ok=True)
    model.eval()
    return history


def _save(
    checkpoint: Path,
    recipe: Recipe,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    history: list[float],
) -> None:
    state = {
        "recipe": asdict(recipe),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "history": history,
    }
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    temporary = checkpoint.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(checkpoint)


def _resume(
    checkpoint: Path,
    recipe: Recipe,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> list[float]:
    if not checkpoint.exists():
        return []
    state = torch.load(checkpoint, weights_only=True)
    if state["recipe"] != asdict(recipe):
        return []
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    history: list[float] = state["history"]
    logger.info("training goes on after epoch %d of %d", len(history), recipe.epochs)
    return history
