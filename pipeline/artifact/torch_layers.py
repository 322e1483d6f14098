"""Lists the layers of a PyTorch model that stages change, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.patterns import matches

if TYPE_CHECKING:
    from torch import nn


def layer_types() -> tuple[Any, Any]:
    """The types of convolutions and of linear layers."""
    from torch import nn
    from torch.nn.modules.conv import _ConvNd

    return _ConvNd, nn.Linear


def layers_of(module: nn.Module) -> dict[str, nn.Module]:
    """The convolutions and linear layers by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, layer_types())}


def outputs_of(layer: Any) -> int | None:
    """The number of outputs of a convolution, linear layer or batch normalization; None for another module."""
    names = ("out_features", "out_channels", "num_features")
    return next((int(getattr(layer, name)) for name in names if hasattr(layer, name)), None)


def inputs_of(layer: Any) -> int:
    """The number of inputs of a convolution or linear layer."""
    return int(layer.in_features if hasattr(layer, "in_features") else layer.in_channels)


def named_in(name: str, patterns: Sequence[str]) -> bool:
    """Whether a layer, or a module that it is part of, is named or fits a pattern."""
    parts = name.split(".")
    return any(matches(".".join(parts[:length]), patterns) for length in range(1, len(parts) + 1))
