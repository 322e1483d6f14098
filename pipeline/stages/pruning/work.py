"""What a unit of channels costs: the MACs of the layers that make and read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.artifact.torch_layers import inputs_of, layers_of, outputs_of
from pipeline.stages.pruning.groups import Prunable
from pipeline.stages.pruning.passes import hooked

if TYPE_CHECKING:
    import torch
    from torch import nn


def layer_macs(module: nn.Module, probe: Sequence[torch.Tensor]) -> dict[str, int]:
    """The MACs of each convolution and linear layer in one call of the module with ``probe``, by name."""
    import torch

    found: dict[str, int] = {}

    def count(name: str) -> Callable[[Any, tuple[torch.Tensor, ...], torch.Tensor], None]:
        def hook(layer: Any, read: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
            spread = getattr(layer, "transposed", False)  # then each value that is read meets all weights
            places = read[0].numel() // inputs_of(layer) if spread else made.numel() // (outputs_of(layer) or 1)
            found[name] = found.get(name, 0) + places * layer.weight.numel()

        return hook

    handles = [layer.register_forward_hook(count(name)) for name, layer in layers_of(module).items()]
    with torch.no_grad(), hooked(handles):
        module(*probe)
    return found


def macs_of_unit(prunable: Prunable, module: nn.Module, macs: Mapping[str, int]) -> float:
    """The MACs that go with one unit of a group, where all else stays; 1 at least."""
    shares = 0.0
    for place, channels in prunable.without(module, [0]).cuts.items():
        if place.side != "parameter" and place.name in macs:
            layer = module.get_submodule(place.name)
            width = inputs_of(layer) if place.side == "in" else outputs_of(layer) or 1
            shares += macs[place.name] * len(channels) / width
    return max(shares, 1.0)
