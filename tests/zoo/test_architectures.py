"""The networks of the zoo have the sizes that their papers and their published weights have."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.zoo.encoder import Encoder
from pipeline.zoo.resnet import BottleneckResNet
from pipeline.zoo.vit import VisionTransformer


def parameters(model: nn.Module) -> int:
    return sum(tensor.numel() for tensor in model.parameters())


def test_resnet50_is_the_one_that_published_weights_fit() -> None:
    with torch.device("meta"):
        model = BottleneckResNet()
    state = model.state_dict()
    assert parameters(model) == 25_557_032
    assert len(state) == 320
    assert state["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert state["layer4.2.conv2.weight"].shape == (512, 512, 3, 3)
    assert state["fc.weight"].shape == (1000, 2048)
    assert model(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)


@pytest.mark.parametrize(("size", "stride"), [(64, 2), (96, 3)])
def test_a_resnet_computes_at_any_resolution(size: int, stride: int) -> None:
    model = BottleneckResNet(channels=1, num_classes=3, width=4, blocks=(1, 2)).eval()
    with torch.inference_mode():
        assert model(torch.randn(stride, 1, size, size)).shape == (stride, 3)


def test_vit_base_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = VisionTransformer(hidden=768, layers=12, heads=12, inner=3072)
    assert parameters(model) == 86_567_656


def test_bert_base_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = Encoder(30522, 768, 12, 12, 3072, 512, 2, num_classes=None)
    assert parameters(model) == 109_482_240 - (768 * 768 + 768), "without the pooler"
