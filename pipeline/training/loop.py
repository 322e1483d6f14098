"""One training loop: the reference model's recipe, and every stage that trains, use it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from pipeline.artifact.torch_module import as_tensors
from pipeline.data.augmentation import augment
from pipeline.errors import StageFailed
from pipeline.folders.writing import whole
from pipeline.training.class_scores import LOGITS, Scores, cross_entropy
from pipeline.training.examples import Examples, device_of
from pipeline.training.recipe import Recipe

logger = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
Judge = Callable[[nn.Module], float]
Penalty = Callable[[], Tensor]
_EVERY = 10
"""Steps between two lines of progress."""
_BELOW_ONE_STEP = 1e-6
_ONE_VALUE = "Expected more than 1 value per channel"


@dataclass(frozen=True, slots=True)
class Teacher:
    """A model to learn from: by its scores of classes, or by vectors whose direction counts."""

    model: nn.Module
    vectors: bool = False
    scores: Scores = LOGITS


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
    """Train ``model`` in place; returns what ``judge`` says (1 at best) after each epoch. The mode is then evaluation.

    Each epoch draws its order and augmentations from (seed, epoch), and its end is written to ``checkpoint``: a run
    that was stopped goes on after the last whole epoch and ends with the same numbers. The checkpoint is removed at the
    end.
    ``penalty`` is what the recipe weighs by ``group_lasso``.
    ``progress`` gets the share done and a line such as ``epoch 2/2 loss 0.31, validation 91.20 % so far, 34 s left``;
    ``before`` is what to say in the first epoch. ``scores`` says where the model's are. Raises ValueError where there
    is less than a batch of examples, StageFailed where the loss is no number any more.
    """
    steps = len(train) // recipe.batch_size
    if steps == 0:
        raise ValueError(f"training needs at least one batch of {recipe.batch_size} examples, there are {len(train)}")
    state = _State.new(model, recipe, steps)
    state.resume(checkpoint)
    clock = _Clock(len(state.history), recipe.epochs)
    while not state.is_over:
        epoch = len(state.history)
        so_far = state.history[-1] if state.history else before
        validation = "" if so_far is None else f", validation {so_far:.2%} so far"

        def step_done(step: int, loss: Tensor, epoch: int = epoch, validation: str = validation) -> None:
            if step % _EVERY == 0 or step == steps - 1:
                _check_loss(loss, epoch + 1, step + 1, recipe)
            if step % _EVERY == 0:
                line = f"epoch {epoch + 1}/{recipe.epochs} loss {loss.item():.3f}{validation}"
                progress(*clock.at(epoch + step / steps, line))

        _train_epoch(state, train, teacher, penalty, steps, step_done, scores)
        state.history.append(judge(state.judged))
        state.remember_best()
        state.save(checkpoint)
        line = f"epoch {epoch + 1}/{recipe.epochs} validation {state.history[-1]:.2%}"
        progress(*clock.at(epoch + 1, line))
    state.finish()
    checkpoint.unlink(missing_ok=True)
    return state.history


def _train_epoch(
    state: _State,
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
        labels = None if train.labels is None else torch.from_numpy(train.labels[chosen]).to(device)
        loss = _loss(state.model, inputs, labels, teacher, recipe, scores)
        if penalty is not None:
            loss = loss + recipe.group_lasso * penalty()
        state.step(loss)
        step_done(step, loss)


def _check_loss(loss: Tensor, epoch: int, step: int, recipe: Recipe) -> None:
    if not bool(torch.isfinite(loss)):
        raise StageFailed(
            f"the loss is {loss.item()} in epoch {epoch}, step {step}: take a lower learning_rate "
            f"(it is {recipe.learning_rate:g}), or look for values in the data that are no numbers"
        )


def _loss(
    model: nn.Module,
    inputs: list[Tensor],
    labels: Tensor | None,
    teacher: Teacher | None,
    recipe: Recipe,
    scores: Scores,
) -> Tensor:
    """Cross-entropy with the labels, and the distance to the teacher's output, as the recipe weighs them."""
    weight = recipe.distill_weight
    if weight < 1 and labels is None:
        raise ValueError("training without labels takes a teacher and distill_weight=1")
    with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        outputs = _outputs(model, inputs)
        expected = None
        if teacher is not None and weight > 0:
            with torch.no_grad():
                expected = as_tensors(teacher.model(*inputs))
    told = cross_entropy(scores.of(outputs), labels) if labels is not None and weight < 1 else None
    if expected is None or teacher is None:
        assert told is not None
        return told
    if teacher.vectors:
        taught = _vector_distance(scores.output(outputs), teacher.scores.output(expected))
    else:
        taught = _distance(scores.of(outputs), teacher.scores.of(expected), recipe.temperature)
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


@dataclass(slots=True)
class _State:
    """What training changes, and what a checkpoint holds of it."""

    recipe: Recipe
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    average: AveragedModel | None
    history: list[float]
    best: dict[str, Tensor] | None

    @classmethod
    def new(cls, model: nn.Module, recipe: Recipe, steps: int) -> _State:
        optimizer = _optimizer(model, recipe)
        schedule = _schedule(optimizer, recipe, steps * recipe.epochs)
        average = None if recipe.average is None else _average(model, recipe.average)
        return cls(recipe, model, optimizer, schedule, average, [], None)

    @property
    def judged(self) -> nn.Module:
        """The model to judge and to keep: the average, where there is one."""
        module: nn.Module = self.model if self.average is None else self.average.module
        return module

    @property
    def is_over(self) -> bool:
        epochs, patience = len(self.history), self.recipe.patience
        if epochs == self.recipe.epochs:
            return True
        return patience is not None and epochs > 0 and epochs - 1 - self.best_epoch >= patience

    @property
    def best_epoch(self) -> int:
        """The first of equals."""
        return int(np.argmax(self.history))

    def step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def remember_best(self) -> None:
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


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        model.parameters(),
        recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )


def _schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
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


def _average(model: nn.Module, decay: float) -> AveragedModel:
    """Statistics of batch normalization are averaged as the weights are; counters are copied."""

    def update(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        if not averaged.is_floating_point():
            return current
        keep = min(decay, (1 + int(steps)) / (10 + int(steps)))
        return averaged.lerp(current, 1 - keep)

    return AveragedModel(model, avg_fn=update, use_buffers=True)


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


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
