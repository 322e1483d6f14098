"""What the baseline says of the training examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.artifact.torch_module import ModelInput
from pipeline.data.dataset import Split
from pipeline.training import teacher as teaching
from pipeline.training.examples import Examples
from pipeline.training.loop import fit
from pipeline.training.recipe import Recipe
from pipeline.training.teacher import Teacher

COUNT, SIZE = 20, 8


class Counting(nn.Linear):
    """Counts the examples that it is asked about."""

    asked = 0

    def forward(self, image: Tensor) -> Tensor:
        self.asked += len(image)
        return super().forward(image.reshape(len(image), -1))


def examples() -> Examples:
    values = np.random.default_rng(0).normal(size=(COUNT, 1, 2, 2)).astype(np.float32)
    return Examples(Split({"image": values}), (ModelInput(name="image", shape=(1, 2, 2)),), {})


def taught(folder: Path, **recipe: Any) -> tuple[Counting, Tensor, list[str]]:
    """The teacher, the weights that were learned, and the lines of progress."""
    torch.manual_seed(0)
    teacher, pupil = Counting(4, 3).eval(), nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    lines: list[str] = []
    fit(
        pupil,
        examples(),
        lambda model: 0.0,
        Recipe(**{"epochs": 3, "learning_rate": 0.1, "batch_size": SIZE, "distill_weight": 1.0, **recipe}),
        folder / "checkpoint",
        lambda done, line: lines.append(line),
        teacher=Teacher(teacher),
    )
    return teacher, torch.cat([value.detach().flatten() for value in pupil.parameters()]), lines


def test_it_is_asked_once_about_each_example(tmp_path: Path) -> None:
    teacher, _, lines = taught(tmp_path)
    assert teacher.asked == COUNT
    assert "the baseline's outputs, 16 of 20" in lines


def test_a_training_that_begins_anew_does_not_ask_it_again() -> None:
    model = Counting(4, 3).eval()
    teacher, recipe = Teacher(model), Recipe(epochs=3, learning_rate=0.1, batch_size=SIZE, distill_weight=1.0)
    for _ in range(2):
        teacher.prepare(examples(), recipe, lambda line: None)
    assert model.asked == COUNT


def test_it_is_asked_at_each_step_where_the_examples_change(tmp_path: Path) -> None:
    assert taught(tmp_path, augmentation=("flip",))[0].asked == 3 * 2 * SIZE
    assert taught(tmp_path, epochs=1)[0].asked == 2 * SIZE


def test_large_outputs_are_not_kept_and_teach_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before, _ = taught(tmp_path)
    monkeypatch.setattr(teaching, "MOST_BYTES", 4 * 3 * COUNT - 1)
    teacher, after, _ = taught(tmp_path)
    assert teacher.asked == SIZE + 3 * 2 * SIZE
    assert torch.allclose(before, after, atol=1e-6)
