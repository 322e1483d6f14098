"""Fine-tuning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.artifact import Artifact, folder_digest
from pipeline.artifact.proof import check_output
from pipeline.artifact.torch_module import load_module, load_spec
from pipeline.data.dataset import Split, SplitName
from pipeline.errors import Skipped, StageFailed
from pipeline.metrics import Cosine, TopOne
from pipeline.metrics.auroc import Auroc
from pipeline.metrics.mean_absolute_error import MeanAbsoluteError
from pipeline.metrics.recall_at_k import RecallAtK
from pipeline.plan import Context, Metric
from pipeline.stages.finetune import Finetune
from pipeline.stages.prune import Prune
from pipeline.training.examples import accuracy, examples_of
from pipeline.training.loss import check_loss
from pipeline.training.recipe import Recipe
from tests.stages.models import SHAPE, MemoryDataset, TextDataset, TwoInputs, TwoOutputs, Workplace, spec_of
from tests.stages.refusal import refusal

STAGE = Finetune(epochs=2, batch_size=16, learning_rate=0.05)


def test_training_improves_the_accuracy_on_the_validation_split(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.data = MemoryDataset(train=192)
    trained = workplace.build(replace(STAGE, epochs=4), torch_model)
    history = workplace.notes["validation_accuracy_by_epoch"]
    assert len(history) == 4
    assert history[-1] > workplace.notes["validation_accuracy_before"]
    assert history[-1] > 0.5
    check_output(torch_model, trained, None, workplace.context().feed("calibration", 8))


def test_a_pruned_model_can_be_trained(workplace: Workplace, torch_model: Artifact) -> None:
    pruned = workplace.build(Prune(round_to=4), torch_model, "pruned")
    trained = workplace.build(replace(STAGE, epochs=1), pruned, "trained")
    check_output(pruned, trained, None, workplace.context().feed("calibration", 8))


def test_the_seed_decides_the_result(workplace: Workplace, torch_model: Artifact) -> None:
    stage = replace(STAGE, augmentation=("flip", "crop"))
    assert workplace.build(stage, torch_model, "a").digest == workplace.build(stage, torch_model, "b").digest


FULL = replace(STAGE, distill_weight=0.5, schedule="cosine", average=0.9, patience=2, optimizer="adamw")


@pytest.mark.parametrize("stage", [STAGE, FULL], ids=["plain", "full"])
def test_a_stopped_training_goes_on_and_ends_the_same(
    workplace: Workplace, torch_model: Artifact, stage: Finetune
) -> None:
    workplace.original = torch_model
    whole = workplace.build(stage, torch_model, "whole")
    context, lines = stopped_in_the_second_epoch(workplace, stage, torch_model)
    out = workplace.new("resumed")
    stage(torch_model, out, context)
    assert epochs(lines)
    assert all(line.startswith("epoch 2/2") for line in epochs(lines))
    assert folder_digest(out) == whole.digest
    assert list(context.work.iterdir()) == []


@pytest.mark.parametrize("change", [{"distill_weight": 0.4}, {"average": 0.8}, {"schedule": "one_cycle"}], ids=str)
def test_a_checkpoint_of_another_recipe_is_not_continued(
    workplace: Workplace, torch_model: Artifact, change: dict[str, Any]
) -> None:
    workplace.original = torch_model
    context, lines = stopped_in_the_second_epoch(workplace, FULL, torch_model)
    replace(FULL, **change)(torch_model, workplace.new("other"), context)
    assert epochs(lines)[0].startswith("epoch 1/2")


def stopped_in_the_second_epoch(workplace: Workplace, stage: Finetune, source: Artifact) -> tuple[Context, list[str]]:
    """A context to go on with, and the lines that it will get."""
    lines: list[str] = []

    def stop(done: float, line: str) -> None:
        if line.startswith("epoch 2/2"):
            raise KeyboardInterrupt

    context = replace(workplace.context(), progress=stop)
    with pytest.raises(KeyboardInterrupt):
        stage(source, workplace.new("stopped"), context)
    return replace(context, progress=lambda done, line: lines.append(line)), lines


def epochs(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.startswith("epoch")]


def test_progress_says_how_right_the_model_is_so_far_and_how_long_it_takes(
    workplace: Workplace, torch_model: Artifact
) -> None:
    lines: list[str] = []
    workplace.data = MemoryDataset(train=192)
    context = replace(workplace.context(), progress=lambda done, line: lines.append(line))
    STAGE(torch_model, workplace.new("out"), context)
    before, after = workplace.notes["validation_accuracy_before"], workplace.notes["validation_accuracy_by_epoch"]
    assert re.fullmatch(rf"epoch 1/2 loss \d+\.\d{{3}}, validation {before:.2%} so far", lines[0])
    assert re.fullmatch(rf"epoch 1/2 loss \d+\.\d{{3}}, validation {before:.2%} so far, \d+ s left", lines[1])
    assert re.fullmatch(rf"epoch 1/2 validation {after[0]:.2%}, \d+ s left", lines[2])
    assert re.fullmatch(rf"epoch 2/2 loss \d+\.\d{{3}}, validation {after[0]:.2%} so far, \d+ s left", lines[4])
    assert lines[-1] == f"epoch 2/2 validation {after[1]:.2%}"


def test_a_pruned_model_learns_from_the_baseline_without_labels(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.data = MemoryDataset(train=192)
    workplace.original = workplace.build(replace(STAGE, epochs=4), torch_model, "teacher")
    pruned = workplace.build(Prune(round_to=4), workplace.original, "pruned")
    workplace.data = MemoryDataset(train=192, labels=False)
    workplace.build(replace(STAGE, epochs=4, distill_weight=1.0), pruned, "taught")
    history = workplace.notes["validation_accuracy_by_epoch"]
    assert workplace.notes["validation_judged_by"] == "the baseline's output"
    assert history[-1] > workplace.notes["validation_accuracy_before"]
    assert history[-1] > 0.75


def test_the_baseline_is_right_where_there_are_no_labels(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.data = MemoryDataset(labels=False)
    workplace.original = torch_model
    workplace.build(replace(STAGE, epochs=1, distill_weight=1.0), torch_model)
    assert workplace.notes["validation_accuracy_before"] == 1.0


def test_what_the_baseline_says_is_a_part_of_the_loss(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.original = workplace.build(STAGE, torch_model, "teacher")
    stages = {
        name: replace(STAGE, epochs=1, distill_weight=weight, temperature=temperature)
        for name, weight, temperature in [("none", 0.0, 4.0), ("half", 0.5, 4.0), ("hot", 0.5, 8.0), ("all", 1.0, 4.0)]
    }
    digests = {name: workplace.build(stage, torch_model, name).digest for name, stage in stages.items()}
    assert len(set(digests.values())) == len(stages)
    assert not stages["none"].uses_original
    assert stages["half"].uses_original


def test_an_encoder_with_two_inputs_learns_vectors_without_labels(
    workplace: Workplace, torch_encoder: Artifact
) -> None:
    workplace.data = TextDataset()
    workplace.original = torch_encoder
    spec, module = load_spec(torch_encoder.path), load_module(torch_encoder.path)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * parameter.std(correction=0) * torch.randn_like(parameter))
    disturbed = workplace.torch(module, spec, "disturbed")
    context = replace(workplace.context(), metric=Cosine())
    stage = Finetune(epochs=4, batch_size=8, distill_weight=1.0, optimizer="adamw", learning_rate=1e-3)
    stage(disturbed, workplace.new("taught"), context)
    history = workplace.notes["validation_accuracy_by_epoch"]
    assert history[-1] > history[0] > workplace.notes["validation_accuracy_before"]


def test_the_best_epoch_is_kept_and_training_stops_without_a_better_one(
    workplace: Workplace, torch_model: Artifact
) -> None:
    workplace.data = MemoryDataset(train=192)
    trained = workplace.build(replace(STAGE, epochs=30, patience=1, learning_rate=0.1), torch_model)
    history = workplace.notes["validation_accuracy_by_epoch"]
    assert len(history) < 30
    assert workplace.notes["kept_epoch"] == len(history) - 1
    assert history[-1] <= history[-2]
    validation = examples_of(workplace.context(), "validation", load_spec(trained.path).inputs)
    assert accuracy(load_module(trained.path), validation) == max(history)


def test_the_average_of_the_weights_is_what_is_judged_and_kept(workplace: Workplace, torch_model: Artifact) -> None:
    stages = {name: replace(STAGE, average=decay) for name, decay in [("none", None), ("last", 0.0), ("mean", 0.9)]}
    built = {name: workplace.build(stage, torch_model, name) for name, stage in stages.items()}
    assert built["last"].digest == built["none"].digest, "an average of which nothing stays is the last weights"
    assert built["mean"].digest != built["none"].digest
    history = workplace.notes["validation_accuracy_by_epoch"]
    validation = examples_of(workplace.context(), "validation", load_spec(built["mean"].path).inputs)
    assert accuracy(load_module(built["mean"].path), validation) == history[-1]


def test_training_begins_anew_with_a_lower_rate_where_the_loss_is_infinite(
    workplace: Workplace, torch_model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def check(loss: torch.Tensor, epoch: int, step: int, recipe: Recipe) -> None:
        tried.append(recipe.learning_rate)
        check_loss(loss * (torch.inf if recipe.learning_rate > 0.01 else 1), epoch, step, recipe)

    monkeypatch.setattr("pipeline.training.loop.check_loss", check)
    workplace.build(replace(STAGE, learning_rate=0.05), torch_model)
    assert workplace.notes["learning_rate"] == pytest.approx(0.005)
    assert len(workplace.notes["validation_accuracy_by_epoch"]) == 2
    tried.clear()
    with pytest.raises(StageFailed, match=r"take a lower learning_rate \(it is 0\.02\)"):
        workplace.build(replace(STAGE, learning_rate=2.0), torch_model, "too high")
    assert tried == pytest.approx([2.0, 0.2, 0.02])


class Mixing(nn.Module):
    """Adds up in float32, whatever the products' type."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(144, 4)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros(len(image), 4)
        scores[torch.arange(len(image))] = self.layer(image.flatten(1))
        return scores


@pytest.mark.parametrize("isa", ["avx2", "avx512_bf16"])
def test_the_precision_is_the_processors(workplace: Workplace, torch_model: Artifact, isa: str) -> None:
    workplace.isa = frozenset({isa})
    assert STAGE.machine_key(frozenset({"avx2"})) != STAGE.machine_key(frozenset({"avx512_bf16"}))
    workplace.build(STAGE, torch_model)
    assert workplace.notes["precision"] == ("bfloat16" if isa == "avx512_bf16" else "float32")


def test_a_model_that_mixes_types_is_trained_in_single_precision(workplace: Workplace) -> None:
    workplace.isa = frozenset({"avx512_bf16"})
    model = workplace.torch(Mixing(), spec_of(Mixing, {"image": SHAPE}, ["logits"]), "mixing")
    workplace.build(STAGE, model)
    assert workplace.notes["precision"] == "float32"


def test_products_in_bfloat16_train_weights_in_float32(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.data = MemoryDataset(train=192)
    trained = workplace.build(replace(STAGE, epochs=4, precision="bfloat16"), torch_model, "half")
    assert workplace.notes["validation_accuracy_by_epoch"][-1] > 0.5
    assert {parameter.dtype for parameter in load_module(trained.path).parameters()} == {torch.float32}
    assert trained.digest != workplace.build(replace(STAGE, epochs=4), torch_model, "whole").digest


def test_fewer_examples_can_be_asked_for(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.build(replace(STAGE, epochs=1, max_examples=32), torch_model)
    assert workplace.notes["training_examples"] == 32


def test_a_data_set_without_labels_is_refused(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.data = MemoryDataset(labels=False)
    with pytest.raises(
        StageFailed, match="fine-tuning needs labels, and the train split of memory has none: set distill"
    ):
        workplace.build(replace(STAGE, distill_weight=0.5), torch_model)


def test_a_model_without_classes_is_taught_by_the_baseline_alone(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.original = torch_model
    context = replace(workplace.context(), metric=Cosine())
    with pytest.raises(
        StageFailed, match=r"no use to a model without classes \(metric cosine\): set distill_weight to 1"
    ):
        replace(STAGE, distill_weight=0.5)(torch_model, workplace.new("out"), context)


@pytest.mark.parametrize(("labels", "metric", "weight"), [
    (True, TopOne(), 0.0), (False, TopOne(), 1.0), (True, Cosine(), 1.0),
    (True, Auroc(), 0.0), (True, RecallAtK(), 1.0),
])  # fmt: skip
def test_the_baseline_teaches_where_labels_are_of_no_use(
    workplace: Workplace, torch_model: Artifact, labels: bool, metric: Metric, weight: float
) -> None:
    workplace.original, workplace.data = torch_model, MemoryDataset(labels=labels)
    replace(STAGE, epochs=1)(torch_model, workplace.new("out"), replace(workplace.context(), metric=metric))
    assert workplace.notes["distill_weight"] == weight


class Numbers(MemoryDataset):
    """Images whose labels are a number for each output."""

    def split(self, name: SplitName) -> Split:
        split = MemoryDataset.split(self, name)
        assert split.labels is not None
        return replace(split, labels=np.eye(4)[split.labels] + 0.5)


def test_a_model_of_numbers_learns_from_the_baseline_and_is_judged_by_its_error(
    workplace: Workplace, torch_model: Artifact
) -> None:
    workplace.original, workplace.data = torch_model, Numbers()
    context = replace(workplace.context(), metric=MeanAbsoluteError())
    replace(STAGE, epochs=1)(torch_model, workplace.new("out"), context)
    assert workplace.notes["distill_weight"] == 1.0
    assert workplace.notes["validation_judged_by"] == "labels"
    assert workplace.notes["validation_accuracy_before"] < 0


def test_an_output_that_the_metric_can_not_judge_is_refused(workplace: Workplace) -> None:
    source = workplace.torch(TwoOutputs(), spec_of(TwoOutputs, {"image": SHAPE}, ["features", "logits"]))
    with pytest.raises(
        StageFailed, match=r"the model tells classes \[N, 12, 12\], and the labels are \[N\]: let metric"
    ):
        workplace.build(STAGE, source)


def test_an_input_that_the_data_lacks_is_named(workplace: Workplace) -> None:
    source = workplace.torch(TwoInputs(), spec_of(TwoInputs, {"left": (4,), "right": (4,)}, ["sum"]))
    with pytest.raises(StageFailed, match="the train split has no input 'left'; it has image"):
        workplace.build(STAGE, source)


def test_images_of_several_inputs_are_not_augmented(workplace: Workplace) -> None:
    source = workplace.torch(TwoInputs(), spec_of(TwoInputs, {"left": (4,), "right": (4,)}, ["sum"]))
    with pytest.raises(StageFailed, match=r"models with one input, and this one has left, right: set it to \[\]"):
        workplace.build(replace(STAGE, augmentation=("flip",)), source)


def test_too_few_examples_are_refused(workplace: Workplace, torch_model: Artifact, tmp_path: Path) -> None:
    with pytest.raises(Skipped, match=r"one batch of 512 .* there are 64: set batch_size to 64 or less"):
        workplace.build(replace(STAGE, batch_size=512), torch_model)


def test_fields_out_of_range_are_refused() -> None:
    assert "stage.epochs must be at least 1 (got 0)" in refusal(Finetune, epochs=0)
    assert "stage.learning_rate must be above 0 (got 0)" in refusal(Finetune, learning_rate=0)
    assert "stage.weight_decay must be at least 0 (got -1)" in refusal(Finetune, weight_decay=-1)
    with pytest.raises(ValueError, match=r"augmentation 'cutmix' does not exist; available: flip, crop"):
        Finetune(augmentation=("cutmix",))
    assert "stage.distill_weight must be at most 1 (got 2)" in refusal(Finetune, distill_weight=2)
    assert "stage.average must be below 1 (got 1)" in refusal(Finetune, average=1)
    assert "stage.schedule must be 'one_cycle' or 'cosine' (got 'step')" in refusal(Finetune, schedule="step")
    assert "stage.max_examples must be at least 1 (got 0)" in refusal(Finetune, max_examples=0)


@pytest.mark.parametrize(("usable", "device"), [(True, "cuda"), (False, "cpu")])
def test_it_trains_on_the_gpu_where_there_is_one(
    workplace: Workplace, torch_model: Artifact, monkeypatch: pytest.MonkeyPatch, usable: bool, device: str
) -> None:
    moved: list[str] = []

    def to(module: torch.nn.Module, where: torch.device) -> torch.nn.Module:
        moved.append(str(where))
        return module

    workplace.original = torch_model
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    monkeypatch.setattr(torch.nn.Module, "to", to)
    workplace.build(replace(STAGE, epochs=1, distill_weight=0.5), torch_model)
    assert moved == [device, device], "the model and its teacher"
