"""Sparse training: the penalty on whole channels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from pipeline.artifact import Artifact
from pipeline.artifact.torch_module import load_module
from pipeline.stages.finetune import Finetune
from pipeline.stages.pruning.lasso import group_lasso
from pipeline.zoo.vit import VisionTransformer
from tests.stages.models import MemoryDataset, Workplace, resnet, resnet_spec, spec_of
from tests.stages.refusal import refusal


class Chain(nn.Module):
    """Two layers, and the channels between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(torch.relu(self.first(x)))
        return result


class Depthwise(nn.Module):
    """A convolution of each channel by itself, between two that mix them."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(1, 8, 1, bias=False)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 2, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(torch.relu(self.norm(self.depthwise(self.expand(image))))).mean((2, 3))
        return result


def test_the_penalty_is_the_norm_of_all_that_makes_and_reads_a_channel() -> None:
    module = Chain()
    penalty = group_lasso(module, spec_of(Chain, {"x": (4,)}, ["logits"]))
    squares = module.first.weight.pow(2).sum(1) + module.second.weight.pow(2).sum(0)
    assert penalty().item() == pytest.approx((6**0.5 * squares.sqrt()).sum().item())
    penalty().backward()  # type: ignore[no-untyped-call]
    gradient = module.first.weight.grad
    assert gradient is not None
    torch.testing.assert_close(gradient, 6**0.5 * module.first.weight.detach() / squares.detach().sqrt()[:, None])


def test_each_weight_of_a_depthwise_channel_counts_once() -> None:
    module = Depthwise()
    squares = (
        module.expand.weight.flatten(1).pow(2).sum(1)
        + module.depthwise.weight.flatten(1).pow(2).sum(1)
        + module.norm.weight.pow(2)
        + module.head.weight.flatten(1).pow(2).sum(0)
    )
    expected = ((1 + 9 + 1 + 2) ** 0.5 * squares.sqrt()).sum().item()
    assert group_lasso(module, spec_of(Depthwise, {"image": (1, 8, 8)}, ["logits"]))().item() == pytest.approx(expected)


def test_the_heads_of_a_transformer_are_units_too() -> None:
    module = VisionTransformer(image=8, patch=4, channels=1, hidden=16, layers=1, heads=2, inner=32, num_classes=4)
    spec = spec_of(VisionTransformer, {"image": (1, 8, 8)}, ["logits"])
    before = group_lasso(module, spec)
    idle = before().item()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 2 and "mlp" not in name and "head" not in name:
                parameter.mul_(2)
    assert before().item() > idle


def test_sparse_training_makes_channels_small(workplace: Workplace) -> None:
    workplace.data = MemoryDataset(train=96)
    spec = resnet_spec((16, 32))
    source = workplace.torch(resnet(spec), spec)
    plain = Finetune(epochs=2, batch_size=16, learning_rate=0.02)
    without = workplace.build(plain, source, "without")
    sparse = workplace.build(replace(plain, group_lasso=0.05), source, "sparse")
    assert _norm(sparse) < 0.9 * _norm(without)


def _norm(artifact: Artifact) -> float:
    return float(group_lasso(load_module(artifact.path), resnet_spec((16, 32)))().detach())


def test_a_negative_weight_is_refused() -> None:
    assert "stage.group_lasso must be at least 0 (got -1)" in refusal(Finetune, group_lasso=-1)
