"""Fine-tuning."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifact import Artifact, folder_digest
from pipeline.errors import StageFailed
from pipeline.stages.check import check_output
from pipeline.stages.finetune import Finetune
from pipeline.stages.prune import Prune
from tests.stages.models import MemoryDataset, TwoInputs, Workplace, spec_of

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


def test_a_stopped_training_goes_on_and_ends_the_same(workplace: Workplace, torch_model: Artifact) -> None:
    whole = workplace.build(STAGE, torch_model, "whole")
    lines: list[str] = []

    def stop_in_the_second_epoch(done: float, line: str) -> None:
        lines.append(line)
        if line.startswith("epoch 2/2"):
            raise KeyboardInterrupt

    context = replace(workplace.context(), progress=stop_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        STAGE(torch_model, workplace.new("stopped"), context)
    lines.clear()
    out = workplace.new("resumed")
    STAGE(torch_model, out, replace(context, progress=lambda done, line: lines.append(line)))
    assert all(re.match("epoch 2/2", line) for line in lines)
    assert folder_digest(out) == whole.digest
    assert list(context.work.iterdir()) == []


def test_fewer_examples_can_be_asked_for(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.build(replace(STAGE, epochs=1, max_examples=32), torch_model)
    assert workplace.notes["training_examples"] == 32


def test_a_data_set_without_labels_is_refused(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.data = MemoryDataset(labels=False)
    with pytest.raises(StageFailed, match="fine-tuning needs labels, and the train split of memory has none"):
        workplace.build(STAGE, torch_model)


def test_a_model_with_several_inputs_is_refused(workplace: Workplace) -> None:
    source = workplace.torch(TwoInputs(), spec_of(TwoInputs, {"left": (4,), "right": (4,)}, ["sum"]))
    with pytest.raises(StageFailed, match="models with one input; this one has 2: left, right"):
        workplace.build(STAGE, source)


def test_too_few_examples_are_refused(workplace: Workplace, torch_model: Artifact, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"one batch of 512 .* there are 64: set batch_size to 64 or less"):
        workplace.build(replace(STAGE, batch_size=512), torch_model)


def test_fields_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"epochs must be at least 1 \(got 0\)"):
        Finetune(epochs=0)
    with pytest.raises(ValueError, match=r"learning_rate must be above 0 \(got 0\)"):
        Finetune(learning_rate=0)
    with pytest.raises(ValueError, match=r"weight_decay must be at least 0 \(got -1\)"):
        Finetune(weight_decay=-1)
    with pytest.raises(ValueError, match=r"augmentation 'cutmix' does not exist; available: flip, crop"):
        Finetune(augmentation=("cutmix",))
