"""Ranks units by how well the layers that read them can do without: by the error of the module's outputs that is left
once the layers' other weights are solved anew.

The units go one small part after the other, the cheapest first. After each part the other weights make up for it, as
far as they can, and the rest is judged anew: of two units that say the same, one is cheap only until the other goes.
This is the Optimal Brain Surgeon (Hassibi & Stork 1992) for whole structures (ZipLM, Kurtic et al. 2023,
arXiv:2302.04089), on second moments of what the layers read. Where the layers have biases, these take over the units'
means (VBP, arXiv:2507.12988). An error in what a layer makes counts by what the outputs mind of it, so the scores of
different groups can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.artifact.torch_layers import inputs_of
from pipeline.stages.linear.solvers import solver_of, why_not
from pipeline.stages.pruning.groups import Prunable
from pipeline.stages.pruning.readings import Reading, readings
from pipeline.stages.pruning.replay import Batches

_RIDGE = 1e-4
"""What keeps the moments invertible, as a share of the square of each input."""
_PARTS = 64
"""In how many parts the units go."""
_MOMENTS_BYTES = 2**29
"""The most memory for the moments of layers that are looked into in the same pass."""
_LATER = 1e-9
"""By this share a unit's score is larger than that of the unit before it, where they are equal."""
_MINDED = 1e-6
"""What each output of a layer counts at least, as a share of the mean."""


@dataclass(slots=True)
class _Reader:
    """A layer that reads the units, and what it does without those that are gone."""

    inverse: Tensor
    """The inverse of the moments of its inputs [F, F]."""
    weights: Tensor
    """[F, O], for outputs whose squares add up to what the module's outputs mind."""
    of_units: Tensor
    """The inputs of each unit [U, B]."""

    def errors(self, left: Tensor) -> Tensor:
        """The error [U'] that each of the units ``left`` [U'] leaves when it goes."""
        own = self.of_units[left]
        blocks = self.inverse[own[:, :, None], own[:, None, :]]
        weights = self.weights[own]
        errors: Tensor = (weights * torch.linalg.solve(blocks, weights)).sum((1, 2))
        return errors

    def without(self, units: Tensor) -> None:
        """Take units [U'] out, and let the other weights make up for them."""
        gone = self.of_units[units].flatten()
        across = self.inverse[:, gone]
        solved = torch.linalg.solve(self.inverse[gone][:, gone], torch.cat([self.weights[gone], across.mT], 1))
        self.weights -= across @ solved[:, : self.weights.shape[1]]
        self.inverse -= across @ solved[:, self.weights.shape[1] :]


@dataclass(frozen=True, slots=True)
class _Reads:
    """A layer that reads a group's units, and the inputs of each unit [U, B]."""

    layer: nn.Linear | nn.Conv1d | nn.Conv2d
    name: str
    of_units: Tensor


@torch.no_grad()
def scores(prunables: Sequence[Prunable], module: nn.Module, batches: Batches, mask: int | None) -> list[Tensor | None]:
    """For each group a score for each unit [U]: the squared error of the outputs that its going adds, or that of the
    units before it, if that is larger. None where no layer mixes the units, so that none could make up for another.
    ``mask`` is the argument that says by 1 and 0 which positions count."""
    reads = [list(_reads(prunable, module)) for prunable in prunables]
    found: list[Tensor | None] = []
    for part in _parts(reads):
        names = {each.name for of_group in part for each in of_group}
        seen = readings(module, names, batches, mask) if names else {}
        counts = [len(prunable.units) for prunable in prunables[len(found) :]]
        found += [_scores(count, own, seen) for count, own in zip(counts, part, strict=False)]
    return found


def _parts(reads: Sequence[list[_Reads]]) -> Iterator[list[list[_Reads]]]:
    """Groups whose readers' moments fit into memory together."""
    part: list[list[_Reads]] = []
    size = 0
    for own in reads:
        needed = sum((each.layer.weight[0].numel() + 1) ** 2 * torch.float64.itemsize for each in own)
        if part and size + needed > _MOMENTS_BYTES:
            yield part
            part, size = [], 0
        part.append(own)
        size += needed
    yield part


def _scores(count: int, reads: Sequence[_Reads], seen: Mapping[str, Reading]) -> Tensor | None:
    minded = [(each, seen[each.name]) for each in reads if each.name in seen and seen[each.name].influence.any()]
    readers = [_reader(each, reading) for each, reading in minded]
    if not readers:
        return None
    left = torch.arange(count)
    most = max(1, count // _PARTS)
    going: list[Tensor] = []
    added: list[Tensor] = []
    while len(left):
        errors = torch.stack([reader.errors(left) for reader in readers]).sum(0)
        order = errors.argsort(stable=True)[:most]
        gone = left[order]
        going.append(gone)
        added.append(errors[order])
        left = left[~torch.isin(left, gone)]
        if len(left):
            for reader in readers:
                reader.without(gone)
    found = torch.empty(count, dtype=torch.float64)
    found[torch.cat(going)] = torch.cat(added).cummax(0).values * (1 + _LATER * torch.arange(count).double())
    return found


def _reads(prunable: Prunable, module: nn.Module) -> Iterator[_Reads]:
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
        kernel = torch.arange(layer.weight[0].numel() // inputs_of(layer))
        yield _Reads(layer, names[layer], (columns[:, :, None] * len(kernel) + kernel).flatten(1))


def _reader(reads: _Reads, reading: Reading) -> _Reader:
    squares = reading.inputs.diagonal()
    pull = _RIDGE * squares.clamp_min(_RIDGE * squares.mean().clamp_min(torch.finfo(torch.float64).tiny))
    influence = reading.influence / reading.places
    least = _MINDED * influence.diagonal().mean() * torch.eye(len(influence)).double()
    return _Reader(
        inverse=torch.linalg.inv(reading.inputs + torch.diag(pull)),
        weights=solver_of(reads.layer).weights()[0] @ torch.linalg.cholesky(influence + least),
        of_units=reads.of_units,
    )


def _is_made(prunable: Prunable, dependency: Any) -> bool:
    """Whether a part of the group is what a layer makes, not what it reads."""
    name = dependency.handler.__name__
    return "out_channels" in name


def _mixes(layer: nn.Module) -> bool:
    """Whether a layer makes each output of all inputs, and can be solved."""
    known = isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)) and why_not(layer) is None
    return known and getattr(layer, "groups", 1) == 1


def _columns(prunable: Prunable, own: Sequence[int], roots: Sequence[int]) -> Tensor | None:
    """The channels that a layer reads of each unit [U, B]; None where they are not as many for each."""
    by_root: dict[int, list[int]] = {}
    for channel, root in zip(own, roots, strict=True):
        by_root.setdefault(int(root), []).append(int(channel))
    found = [[channel for root in unit for channel in by_root.get(root, [])] for unit in prunable.units]
    return torch.tensor(found) if found and len({len(each) for each in found}) == 1 and found[0] else None
