"""One training loop, which the reference model's recipe and every stage that trains use."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.augmentation import augment
from pipeline.training.class_scores import LOGITS, Scores
from pipeline.training.examples import Examples, device_of
from pipeline.training.loss import check_loss, loss_of
from pipeline.training.recipe import Recipe
from pipeline.training.state import State
from pipeline.training.teacher import Teacher

logger = logging.getLogger(__name__)
Progress = Callable[[float, str], None]
Judge = Callable[[nn.Module], float]
Penalty = Callable[[], Tensor]
_EVERY = 10
"""Steps between two lines of progress."""


def fit(
    model: nn.Module,
    train: Examples,
    judge: Judge,
    recipe: Recipe,
    checkpoint: Path,
    progress: Progress,
    teacher: Teacher | None = None,
    penalty: Penalty | None = None,
    before: float | None = None,
    scores: Scores = LOGITS,
) -> list[float]:
    """Train ``model`` in place; returns the score of ``judge`` (1 at best) after each epoch. The mode is then
    evaluation.

    Each epoch draws its order and augmentations from (seed, epoch), and its end is written to ``checkpoint``: a run
    that was stopped goes on after the last whole epoch and ends with the same numbers. The checkpoint is removed at the
    end. ``penalty`` is the penalty that the recipe weighs by ``group_lasso``. ``progress`` gets the share done and a
    line such as ``epoch 2/2 loss 0.31, validation 91.20 % so far, 34 s left``; ``before`` is what to say in the first
    epoch. ``scores`` says where the model's are. Raises ValueError where there is less than a batch of examples,
    StageFailed where the loss is no number any more.
    """
    steps = len(train) // recipe.batch_size
    if steps == 0:
        raise ValueError(f"training needs at least one batch of {recipe.batch_size} examples, there are {len(train)}")
    state = State.new(model, recipe, steps)
    state.resume(checkpoint)
    if teacher is not None and recipe.distill_weight > 0 and not state.is_over:
        teacher.prepare(train, recipe, partial(progress, len(state.history) / recipe.epochs))
    clock = _Clock(len(state.history), recipe.epochs)
    while not state.is_over:
        epoch = len(state.history)
        so_far = state.history[-1] if state.history else before
        validation = "" if so_far is None else f", validation {_figure(so_far)} so far"

        def step_done(step: int, loss: Tensor, epoch: int = epoch, validation: str = validation) -> None:
            if step % _EVERY == 0 or step == steps - 1:
                check_loss(loss, epoch + 1, step + 1, recipe)
            if step % _EVERY == 0:
                line = f"epoch {epoch + 1}/{recipe.epochs} loss {loss.item():.3f}{validation}"
                progress(*clock.at(epoch + step / steps, line))

        _train_epoch(state, train, teacher, penalty, steps, step_done, scores)
        state.history.append(judge(state.judged))
        state.remember_best()
        state.save(checkpoint)
        line = f"epoch {epoch + 1}/{recipe.epochs} validation {_figure(state.history[-1])}"
        progress(*clock.at(epoch + 1, line))
    state.finish()
    checkpoint.unlink(missing_ok=True)
    return state.history


def _train_epoch(
    state: State,
    train: Examples,
    teacher: Teacher | None,
    penalty: Penalty | None,
    steps: int,
    step_done: Callable[[int, Tensor], None],
    scores: Scores = LOGITS,
) -> None:
    recipe, epoch = state.recipe, len(state.history)
    device = device_of(state.model)
    rng = np.random.default_rng([recipe.seed, epoch])
    torch.manual_seed(recipe.seed * 1_000_003 + epoch)
    order = rng.permutation(len(train))
    state.model.train()
    for step in range(steps):
        chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        inputs = train.tensors(chosen, device, lambda raw: augment(raw, recipe.augmentation, rng))
        if recipe.channels_last:
            inputs = [tensor.to(memory_format=torch.channels_last) for tensor in inputs]
        labels = train.label_tensor(chosen, device)
        lesson = None
        if teacher is not None and recipe.distill_weight > 0:
            lesson = teacher.lesson(inputs, chosen, recipe)
        loss = loss_of(state.model, inputs, labels, lesson, recipe, scores)
        if penalty is not None:
            loss = loss + recipe.group_lasso * penalty()
        state.step(loss)
        step_done(step, loss)


class _Clock:
    """How much is done, and about how long the rest takes, from the epochs of this process."""

    def __init__(self, epochs_before: int, epochs: int) -> None:
        self._before = epochs_before
        self._epochs = epochs
        self._started = time.monotonic()

    def at(self, epochs: float, line: str) -> tuple[float, str]:
        """The share done, and the line with the time left; ``epochs`` counts the fraction of the one under way."""
        done = epochs - self._before
        if done > 0 and epochs < self._epochs:
            left_s = (time.monotonic() - self._started) / done * (self._epochs - epochs)
            line = f"{line}, {_duration(left_s)} left"
        return epochs / self._epochs, line


def _figure(merit: float) -> str:
    return f"{merit:.2%}" if 0 <= merit <= 1 else f"{merit:.4g}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
