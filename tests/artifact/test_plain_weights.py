"""Weights that layers compute anew become weights that they own."""

from __future__ import annotations

import torch
from torch import nn

from pipeline.artifact.plain_weights import make_plain


def test_a_weight_made_of_several_tensors_becomes_a_parameter_that_learns() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    values = torch.rand(2, 4)
    expected = layer(values)
    module = nn.Sequential(layer)
    assert make_plain(module) == ["0"]
    assert isinstance(dict(module.named_parameters())["0.weight"], nn.Parameter)
    torch.testing.assert_close(module(values), expected)
    module(values).sum().backward()
    assert layer.weight.grad is not None
