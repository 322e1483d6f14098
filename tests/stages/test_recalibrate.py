"""Measuring batch normalization anew."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pipeline.artifact import Artifact
from pipeline.artifact.torch_module import load_module, load_spec
from pipeline.errors import Skipped, StageFailed
from pipeline.stages.finetune import Finetune
from pipeline.stages.recalibrate import Recalibrate
from pipeline.training.examples import accuracy, examples_of
from tests.stages.models import SHAPE, MemoryDataset, TwoInputs, Workplace, spec_of
from tests.stages.refusal import refusal


class Normalized(nn.Module):
    """Batch normalization of the input itself, then what gathers no statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.dropout = nn.Dropout(0.5)
        self.still = nn.BatchNorm2d(1, track_running_stats=False)

    def forward(self, image: Tensor) -> Tensor:
        x: Tensor = self.still(self.dropout(self.norm(image)))
        return x.flatten(1)


@pytest.fixture
def normalized(workplace: Workplace) -> Artifact:
    return workplace.torch(Normalized(), spec_of(Normalized, {"image": SHAPE}, ["y"]))


def norm(artifact: Artifact) -> nn.BatchNorm2d:
    layer = load_module(artifact.path).get_submodule("norm")
    assert isinstance(layer, nn.BatchNorm2d)
    return layer


@pytest.mark.parametrize(("stage", "batches"), [
    (Recalibrate(batch_size=16), [(0, 16), (16, 32), (32, 48)]),
    (Recalibrate(batch_size=20), [(0, 20), (20, 40)]),
    (Recalibrate(batch_size=128), [(0, 48)]),
    (Recalibrate(batch_size=8, max_examples=8), [(0, 8)]),
])  # fmt: skip
def test_the_statistics_are_the_mean_over_the_batches(
    workplace: Workplace, normalized: Artifact, stage: Recalibrate, batches: list[tuple[int, int]]
) -> None:
    layer = norm(workplace.build(stage, normalized))
    images = torch.from_numpy(workplace.context().feed("calibration")["image"])
    means = [images[start:stop].mean() for start, stop in batches]
    variances = [images[start:stop].var() for start, stop in batches]
    assert layer.running_mean is not None
    assert layer.running_var is not None
    torch.testing.assert_close(layer.running_mean, torch.stack(means).mean()[None])
    torch.testing.assert_close(layer.running_var, torch.stack(variances).mean()[None])
    assert layer.momentum == 0.1
    assert workplace.notes["layers"] == 1


def test_only_the_statistics_change(workplace: Workplace, torch_model: Artifact) -> None:
    before = load_module(torch_model.path).state_dict()
    after = load_module(workplace.build(Recalibrate(), torch_model).path).state_dict()
    changed = {name.rpartition(".")[2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}


def test_accuracy_comes_back_without_labels_where_weights_were_scaled(
    workplace: Workplace, torch_model: Artifact
) -> None:
    """Batch normalization undoes a layer's scale; but not before it is measured anew."""
    workplace.data = MemoryDataset(train=192, calibration=96)
    trained = workplace.build(Finetune(epochs=4, batch_size=16, learning_rate=0.05), torch_model, "trained")
    spec, module = load_spec(trained.path), load_module(trained.path)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.mul_(3)
    scaled = workplace.torch(module, spec, "scaled")
    validation = examples_of(workplace.context(), "validation", spec.inputs)
    workplace.data = MemoryDataset(calibration=96, labels=False)
    again = workplace.build(Recalibrate(batch_size=32), scaled, "again")
    whole, broken, mended = (
        accuracy(load_module(path), validation) for path in (trained.path, scaled.path, again.path)
    )
    assert broken < whole - 0.2
    assert mended > whole - 0.1


def test_a_second_time_changes_nothing(workplace: Workplace, normalized: Artifact) -> None:
    once = workplace.build(Recalibrate(), normalized, "once")
    assert workplace.build(Recalibrate(), once, "twice").digest == once.digest


def test_a_model_without_batch_normalization_is_skipped(workplace: Workplace) -> None:
    source = workplace.torch(TwoInputs(), spec_of(TwoInputs, {"left": (4,), "right": (4,)}, ["sum"]))
    with pytest.raises(Skipped, match="the model has no batch normalization"):
        workplace.build(Recalibrate(), source)


def test_one_example_is_not_enough(workplace: Workplace, normalized: Artifact) -> None:
    workplace.data = MemoryDataset(calibration=1)
    with pytest.raises(StageFailed, match=r"at least 2 calibration examples, and there are 1: raise data\.calib"):
        workplace.build(Recalibrate(), normalized)


def test_fields_out_of_range_are_refused() -> None:
    assert "at least 2 (got 1); a single example has no variance" in refusal(Recalibrate, batch_size=1)
    assert "stage.max_examples must be at least 2 (got 1)" in refusal(Recalibrate, max_examples=1)
