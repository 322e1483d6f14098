"""Group lasso: a penalty for training that shrinks whole channels, so that those which go are missed less."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.artifact.torch_module import ModelSpec
from pipeline.stages.pruning.cut import probe_inputs
from pipeline.stages.pruning.groups import Prunable, find_groups

if TYPE_CHECKING:
    import torch
    from torch import nn

_EPSILON = 1e-12
"""Keeps the root's slope finite where a channel's weights are all 0."""


def group_lasso(module: nn.Module, spec: ModelSpec) -> Callable[[], torch.Tensor]:
    """A function that gives the penalty of the module's present weights: the sum, over every unit that pruning could
    take out (a channel with all weights that make and read it, or a head), of the norm of its weights times the root of
    their number (Yuan & Lin 2006, J. R. Stat. Soc. B 68:49; on dependent layers, Fang et al. 2023, arXiv:2301.12900).

    The module has to be on the CPU when this is called, and may be moved afterwards.
    """
    groups = find_groups(module, spec, (), probe_inputs(module, spec)).prunable
    penalties = [_penalty(prunable) for prunable in groups]

    def penalty() -> torch.Tensor:
        import torch

        return torch.stack([part() for part in penalties]).sum() if penalties else torch.zeros(())

    return penalty


def _penalty(prunable: Prunable) -> Callable[[], torch.Tensor]:
    import torch

    unit_of = {channel: unit for unit, channels in enumerate(prunable.units) for channel in channels}
    parts: list[tuple[Callable[[], torch.Tensor], torch.Tensor, torch.Tensor]] = []
    sizes = torch.zeros(len(prunable.units))
    for item in prunable.group:
        dep, indices = item
        rows = _rows(dep.target.module, dep.handler)
        if rows is None:
            continue
        units = torch.tensor([unit_of[root] for root in item.root_idxs])
        sizes.index_add_(0, units, torch.full((len(units),), float(rows().shape[1])))
        parts.append((rows, torch.tensor(list(indices)), units))

    def penalty() -> torch.Tensor:
        device = parts[0][0]().device
        squares = torch.zeros(len(prunable.units), device=device)
        for rows, indices, units in parts:
            own = rows().float()[indices.to(device)].pow(2).sum(1)
            squares = squares.index_add(0, units.to(device), own)
        return (sizes.to(device).sqrt() * (squares + _EPSILON).sqrt()).sum()

    return penalty


def _rows(layer: Any, handler: Any) -> Callable[[], torch.Tensor] | None:
    """A layer's weights by the channels that its handler prunes [channels, weights of each]; None where it has none."""
    from torch import nn
    from torch_pruning import function

    outputs = (
        function.prune_conv_out_channels, function.prune_depthwise_conv_out_channels, function.prune_linear_out_channels
    )  # fmt: skip
    norms = (function.prune_batchnorm_out_channels, function.prune_layernorm_out_channels)
    transposed = bool(getattr(layer, "transposed", False))
    depthwise = isinstance(layer, nn.modules.conv._ConvNd) and layer.groups == layer.in_channels > 1
    if handler in outputs:
        return lambda: (layer.weight.transpose(0, 1) if transposed and not depthwise else layer.weight).flatten(1)
    if handler in (function.prune_conv_in_channels, function.prune_linear_in_channels) and not depthwise:
        groups = getattr(layer, "groups", 1)
        return lambda: (layer.weight if transposed else layer.weight.transpose(0, 1)).flatten(1).repeat(groups, 1)
    if handler in norms and layer.weight is not None:
        return lambda: layer.weight[:, None]
    return None
