"""Ranks a group's units by how well the layers that read them can do without: by the error that is left of what these
layers make once their other weights are solved anew.

The units go one small part after the other, the cheapest first. After each part the other weights make up for it, as
far as they can, and the rest is judged anew: of two units that say the same, one is cheap only until the other goes.
This is the Optimal Brain Surgeon (Hassibi & Stork 1992) for whole structures (ZipLM, Kurtic et al. 2023,
arXiv:2302.04089), on second moments of what the layers read. Where the layers have biases, these take over the units'
means (VBP, arXiv:2507.12988).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.stages.linear.solvers import solver_of, why_not
from pipeline.stages.pruning.groups import Prunable
from pipeline.stages.pruning.passes import captured
from pipeline.stages.pruning.refit import counted
from pipeline.stages.pruning.replay import Batches

_RIDGE = 1e-4
"""What keeps the moments invertible, as a share of the square of each input."""
_PARTS = 64
"""In how many parts the units go."""


@dataclass(slots=True)
class _Reader:
    """A layer that reads the units, and what it does without those that are gone."""

    inverse: Tensor
    """The inverse of the moments of its inputs [F, F]."""
    weights: Tensor
    """[F, O]."""
    signal: float
    """The square of what it makes, in the whole module."""
    of_units: Tensor
    """The inputs of each unit [U, B]."""

    def errors(self, left: Tensor) -> Tensor:
        """The error [U'] that each of the units ``left`` [U'] leaves when it goes, as a share of the signal."""
        own = self.of_units[left]
        blocks = self.inverse[own[:, :, None], own[:, None, :]]
        weights = self.weights[own]
        errors: Tensor = (weights * torch.linalg.solve(blocks, weights)).sum((1, 2)) / self.signal
        return errors

    def without(self, units: Tensor) -> None:
        """Take units [U'] out, and let the other weights make up for them."""
        gone = self.of_units[units].flatten()
        across = self.inverse[:, gone]
        solved = torch.linalg.solve(self.inverse[gone][:, gone], torch.cat([self.weights[gone], across.mT], 1))
        self.weights -= across @ solved[:, : self.weights.shape[1]]
        self.inverse -= across @ solved[:, self.weights.shape[1] :]


@torch.no_grad()
def scores(prunable: Prunable, module: nn.Module, batches: Batches, mask: int | None) -> Tensor | None:
    """A score for each unit of the group [U], larger for those that go later; None where no layer mixes the units, so
    that none could make up for another. ``mask`` is the argument that says by 1 and 0 which positions count."""
    readers = [reader for reader in _readers(prunable, module, batches, mask) if reader.signal > 0]
    count = len(prunable.units)
    if not readers:
        return None
    found = torch.zeros(count, dtype=torch.float64)
    left = torch.arange(count)
    most, so_far = max(1, count // _PARTS), 0.0
    while len(left):
        errors = torch.stack([reader.errors(left) for reader in readers]).sum(0)
        order = errors.argsort(stable=True)[:most]
        gone = left[order]
        found[gone] = torch.clamp_min(so_far + errors[order], float(found.max()))
        so_far = float(found.max())
        left = left[~torch.isin(left, gone)]
        if len(left):
            for reader in readers:
                reader.without(gone)
    return found


def _readers(prunable: Prunable, module: nn.Module, batches: Batches, mask: int | None) -> Iterator[_Reader]:
    names = {layer: name for name, layer in module.named_modules()}
    seen = set()
    for place, (dependency, own) in enumerate(prunable.group):
        layer = dependency.target.module
        if layer in seen or layer not in names or _is_made(prunable, dependency) or not _mixes(layer):
            continue
        seen.add(layer)
        columns = _columns(prunable, own, prunable.group[place].root_idxs)
        if columns is None:
            continue
        moments = _moments(module, names[layer], batches, mask)
        weights = solver_of(layer).weights()[0]
        inputs = weights.shape[0] - (layer.bias is not None)
        kernel = torch.arange(inputs // _width(layer))
        of_units = (columns[:, :, None] * len(kernel) + kernel).flatten(1)
        squares = moments.diagonal()
        pull = _RIDGE * squares.clamp_min(_RIDGE * squares.mean().clamp_min(torch.finfo(torch.float64).tiny))
        inverse = torch.linalg.inv(moments + torch.diag(pull))
        signal = float((weights * (moments @ weights)).sum())
        yield _Reader(inverse=inverse, weights=weights, signal=signal, of_units=of_units)


def _is_made(prunable: Prunable, dependency: Any) -> bool:
    """Whether a part of the group is what a layer makes, not what it reads."""
    name = dependency.handler.__name__
    return "out_channels" in name


def _mixes(layer: nn.Module) -> bool:
    """Whether a layer makes each output of all inputs, and can be solved."""
    known = isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)) and why_not(layer) is None
    return known and getattr(layer, "groups", 1) == 1


def _width(layer: Any) -> int:
    return int(layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)


def _columns(prunable: Prunable, own: Sequence[int], roots: Sequence[int]) -> Tensor | None:
    """The channels that a layer reads of each unit [U, B]; None where they are not as many for each."""
    by_root: dict[int, list[int]] = {}
    for channel, root in zip(own, roots, strict=True):
        by_root.setdefault(int(root), []).append(int(channel))
    found = [[channel for root in unit for channel in by_root.get(root, [])] for unit in prunable.units]
    return torch.tensor(found) if found and len({len(each) for each in found}) == 1 and found[0] else None


def _moments(module: nn.Module, name: str, batches: Batches, mask: int | None) -> Tensor:
    """The products of a layer's inputs with each other [F, F], summed over all places."""
    layer = module.get_submodule(name)
    found: Tensor | None = None
    for arguments in batches():
        read = captured(module, [name], arguments, outputs=False)[name]
        made = layer(read)
        for rows, _ in solver_of(layer).places(*counted(mask, arguments, read, made)):
            products = (rows[0].mT @ rows[0]).double().cpu()
            found = products if found is None else found + products
    assert found is not None
    return found
