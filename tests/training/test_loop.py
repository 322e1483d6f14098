"""The training loop."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.artifact.torch_module import ModelInput
from pipeline.data.dataset import Split
from pipeline.errors import StageFailed
from pipeline.training.examples import Examples
from pipeline.training.loop import _train_epoch, fit
from pipeline.training.loss import _distance, _vector_distance
from pipeline.training.recipe import Recipe
from pipeline.training.state import State, schedule_for
from pipeline.training.teacher import Teacher

RECIPE = Recipe(epochs=5, learning_rate=0.1, batch_size=8)


def examples(count: int = 32) -> Examples:
    values = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    return Examples(Split({"x": values}, values.argmax(1)), (ModelInput(name="x", shape=(4,)),), {})


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 4)


def weights(module: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


class Script:
    """Says what it was given, and remembers the weights that it judged."""

    def __init__(self, *scores: float) -> None:
        self.scores = scores
        self.seen: list[Tensor] = []

    def __call__(self, judged: nn.Module) -> float:
        self.seen.append(weights(judged).clone())
        return self.scores[len(self.seen) - 1]


def train(trained: nn.Module, judge: Script, recipe: Recipe, folder: Path, **more: Any) -> list[float]:
    return fit(trained, examples(), judge, recipe, folder / "checkpoint", lambda done, line: None, **more)


def test_training_stops_when_patience_ends_and_the_best_epoch_stays(tmp_path: Path) -> None:
    trained, judge = model(), Script(0.5, 0.7, 0.6, 0.7, 0.9)
    history = train(trained, judge, Recipe(epochs=5, learning_rate=0.1, batch_size=8, patience=2), tmp_path)
    assert history == [0.5, 0.7, 0.6, 0.7]
    assert torch.equal(weights(trained), judge.seen[1]), "of equals the first"


def test_without_patience_the_last_epoch_stays(tmp_path: Path) -> None:
    trained, judge = model(), Script(0.9, 0.7, 0.6, 0.7, 0.5)
    assert len(train(trained, judge, RECIPE, tmp_path)) == 5
    assert torch.equal(weights(trained), judge.seen[-1])


def test_an_average_lags_behind_the_weights(tmp_path: Path) -> None:
    last, mean, judge = model(), model(), Script(0, 0, 0, 0, 0)
    start = weights(last)
    train(last, Script(0, 0, 0, 0, 0), RECIPE, tmp_path)
    train(mean, judge, Recipe(epochs=5, learning_rate=0.1, batch_size=8, average=0.9), tmp_path)
    assert torch.equal(weights(mean), judge.seen[-1])
    assert 0 < (weights(mean) - start).norm() < (weights(last) - start).norm()


def test_what_is_averaged_follows_faster_in_the_beginning(tmp_path: Path) -> None:
    early, late = Script(0), Script(0)
    for judge, average in [(early, 0.9), (late, 0.999)]:
        train(model(), judge, Recipe(epochs=1, learning_rate=0.1, batch_size=8, average=average), tmp_path)
    assert torch.equal(early.seen[0], late.seen[0])


def test_the_cosine_schedule_warms_up_in_a_line_and_falls_to_nothing() -> None:
    recipe = Recipe(epochs=1, learning_rate=2.0, schedule="cosine", warmup_fraction=0.2)
    optimizer = torch.optim.SGD(model().parameters(), recipe.learning_rate)
    schedule = schedule_for(optimizer, recipe, steps=50)
    rates: list[float] = []
    for _ in range(50):
        rates.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    assert np.allclose(np.diff(rates[:11]), 2.0 / 11)
    assert rates[10] == max(rates) == 2.0
    assert rates[30] == pytest.approx(1.0)
    assert all(np.diff(rates[10:]) < 0)
    assert rates[-1] < 0.01


def test_the_softened_distance_is_the_divergence_times_the_squared_temperature() -> None:
    output, expected = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    p, q = (expected / 3).softmax(1), (output / 3).softmax(1)
    divergence = (p * (p / q).log()).sum(1).mean()
    assert _distance(output, expected, 3.0) == pytest.approx(9 * float(divergence))
    assert _distance(expected, expected, 3.0) == pytest.approx(0, abs=1e-6)
    assert _vector_distance(output, 2 * output) == pytest.approx(0, abs=1e-6)
    assert _vector_distance(output, -output) == pytest.approx(2)


def test_a_teacher_is_left_as_it_is(tmp_path: Path) -> None:
    teacher = model().eval()
    before = weights(teacher).clone()
    pupil = nn.Linear(4, 4)
    recipe = Recipe(epochs=5, learning_rate=0.1, batch_size=8, distill_weight=1.0)
    train(pupil, Script(0, 0, 0, 0, 0), recipe, tmp_path, teacher=Teacher(teacher))
    assert torch.equal(weights(teacher), before)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_training_without_labels_needs_a_teacher(tmp_path: Path) -> None:
    unlabelled = Examples(Split(examples().split.inputs), examples().inputs, {})
    with pytest.raises(ValueError, match="takes a teacher and distill_weight=1"):
        fit(model(), unlabelled, Script(), RECIPE, tmp_path / "checkpoint", lambda done, line: None)


def test_less_than_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one batch of 8 examples, there are 7"):
        fit(model(), examples(7), Script(), RECIPE, tmp_path / "checkpoint", lambda done, line: None)


@pytest.mark.parametrize("steps", range(1, 12))
def test_any_number_of_steps_can_be_scheduled(steps: int) -> None:
    optimizer = torch.optim.SGD(model().parameters(), 0.1, momentum=0.9)
    schedule = schedule_for(optimizer, Recipe(epochs=1, learning_rate=0.1), steps)
    rates = [float(schedule.get_last_lr()[0])]
    for _ in range(steps):
        optimizer.step()
        schedule.step()
        rates.append(float(schedule.get_last_lr()[0]))
    assert max(rates[:-1]) > 0.03


def test_a_loss_that_is_no_number_ends_the_training_with_its_reason(tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, learning_rate=1e30, batch_size=8)
    with pytest.raises(StageFailed, match=r"the loss is (nan|inf) in epoch 1, step 4: take a lower learning_rate"):
        train(model(), Script(0), recipe, tmp_path)


def test_batch_normalization_of_single_values_says_what_to_set(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    with pytest.raises(StageFailed, match="set batch_size to 2 or more"):
        train(network, Script(0), Recipe(epochs=1, learning_rate=0.1, batch_size=1), tmp_path)


def test_a_step_follows_the_model_to_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meta tensors compute nothing, but refuse to be mixed with those of another device, as a GPU's do."""
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)).to("meta")
    teacher = Teacher(model().to("meta").eval())
    recipe = Recipe(epochs=1, learning_rate=0.1, batch_size=8, distill_weight=0.5)
    state = State.new(network, recipe, steps=4)
    losses: list[str] = []
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # that has no meta device

    def penalty() -> Tensor:
        return torch.stack([weight.norm() for weight in network.parameters()]).sum()

    _train_epoch(state, examples(), teacher, penalty, 4, lambda step, loss: losses.append(loss.device.type))
    assert losses == ["meta"] * 4
    with pytest.raises(RuntimeError):
        _train_epoch(state, examples(), Teacher(model().eval()), None, 1, lambda step, loss: None)
