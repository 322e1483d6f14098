"""Each group of layers pruned alone and judged."""

from __future__ import annotations

import pytest
import torch

from pipeline.artifact import Artifact
from pipeline.artifact.torch_module import load_module, load_spec
from pipeline.errors import StageFailed
from pipeline.stages.finetune import Finetune
from pipeline.stages.prune import Prune
from pipeline.training.examples import accuracy, examples_of
from tests.stages.models import MemoryDataset, Workplace, resnet, resnet_spec
from tests.stages.refusal import refusal

STAGE = Prune(round_to=4, sensitivity=(0.25, 0.75))


@pytest.fixture
def trained(workplace: Workplace) -> Artifact:
    workplace.data = MemoryDataset(train=192)
    spec = resnet_spec((16, 32))
    source = workplace.torch(resnet(spec), spec)
    return workplace.build(Finetune(epochs=3, batch_size=16, learning_rate=0.05), source, "trained")


def test_each_group_is_pruned_alone_and_judged(workplace: Workplace, trained: Artifact) -> None:
    workplace.build(STAGE, trained)
    found = workplace.notes["pruned_alone"]
    assert found["metric"] == "accuracy"
    layers = [group["layers"] for group in found["groups"]]
    assert ["blocks.0.conv1"] in layers
    assert all(set(group["score"]) == {"0.25", "0.75"} for group in found["groups"])
    validation = examples_of(workplace.context(), "validation", load_spec(trained.path).inputs)
    assert found["before"] == accuracy(load_module(trained.path), validation)
    ratios = {"blocks.0.conv1": 0.75}
    alone = Prune(round_to=4, layer_ratios=ratios, ignored_layers=("stem*", "blocks.0.conv2", "blocks.1*", "head"))
    pruned = workplace.build(alone, trained, "alone")
    score = next(group["score"]["0.75"] for group in found["groups"] if group["layers"] == ["blocks.0.conv1"])
    assert score == accuracy(load_module(pruned.path), validation)


def test_what_is_written_is_as_without_it(workplace: Workplace, trained: Artifact) -> None:
    plain = load_module(workplace.build(Prune(round_to=4), trained, "plain").path).state_dict()
    judged = load_module(workplace.build(STAGE, trained, "judged").path).state_dict()
    assert all(torch.equal(plain[name], judged[name]) for name in plain)


def test_a_ratio_of_0_leaves_an_odd_number_of_channels_whole(workplace: Workplace) -> None:
    spec = resnet_spec((10, 12))
    source = workplace.torch(resnet(spec), spec)
    pruned = workplace.build(Prune(round_to=4, layer_ratios={"blocks.0.conv1": 0}), source)
    assert load_module(pruned.path).get_parameter("blocks.0.conv1.weight").shape[0] == 10


def test_without_validation_examples_there_is_a_reason(workplace: Workplace, trained: Artifact) -> None:
    workplace.data = MemoryDataset(validation=0)
    with pytest.raises(StageFailed, match=r"sensitivity is judged on the validation split, and it has no examples"):
        workplace.build(STAGE, trained)


def test_it_reads_the_validation_split_only_where_it_is_asked() -> None:
    assert Prune().reads == frozenset()
    assert STAGE.reads == {"validation"}
    assert "stage.sensitivity.0 must be below 1 (got 1)" in refusal(Prune, sensitivity=(1,))
