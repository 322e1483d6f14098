"""Layers as linear maps: the places where they are applied, and their weights, in groups.

Each group of a layer maps F inputs to O outputs at P places: [G, P, F] by [G, F, O]. A bias is the weight of one more
input, which is 1 everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

WIDEST = 6144
"""The most inputs of a group that is solved: their moments are as many numbers squared."""
_CHUNK_BYTES = 2**27
"""The most memory that the patches of a convolution's inputs may take."""
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


class Solver(Protocol):
    """A layer as a linear map."""

    def places(self, read: Tensor, wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """What the layer reads [G, P, F] and what it should make [G, P, O] of it, part by part; ``wanted`` has the
        layer's own form."""

    def weights(self) -> Tensor:
        """The weights [G, F, O], in double precision."""

    def take(self, weights: Tensor) -> None:
        """Give the layer these weights [G, F, O]."""


def why_not(layer: nn.Module) -> str | None:
    """Why a layer can't be solved; None where it can."""
    if isinstance(layer, _BatchNorm):
        usual = layer.affine and layer.running_mean is not None
        return None if usual else "it has no weights, or no statistics of its own"
    if not isinstance(layer, (nn.Linear, *_CONVOLUTIONS)):
        return f"a {type(layer).__name__} is not solved"
    if layer._forward_hooks or layer._forward_pre_hooks:
        return "it has hooks"
    inputs = layer.weight[0].numel() + 1
    return None if inputs <= WIDEST else f"it has {inputs} inputs, and {WIDEST} are the most"


def solver_of(layer: nn.Module) -> Solver:
    """The layer as a linear map; raises TypeError for one that is none."""
    if isinstance(layer, nn.Linear):
        return LinearSolver(layer)
    if isinstance(layer, _BatchNorm):
        return NormSolver(layer)
    if isinstance(layer, _CONVOLUTIONS):
        return ConvolutionSolver(layer)
    raise TypeError(f"a {type(layer).__name__} is not solved")


class LinearSolver:
    """One group; a place is any position of the leading axes."""

    def __init__(self, layer: nn.Linear) -> None:
        self._layer = layer

    def places(self, read: Tensor, wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """All places at once."""
        rows = read.reshape(1, -1, read.shape[-1]).float()
        yield _with_one(rows, self._layer), wanted.reshape(1, -1, wanted.shape[-1]).float()

    def weights(self) -> Tensor:
        """[1, F, O]."""
        return _with_bias(self._layer.weight.double().cpu().mT[None], self._layer)

    def take(self, weights: Tensor) -> None:
        """The last row is the bias."""
        self._layer.weight.copy_(_bias_taken(weights, self._layer)[0].mT)


class ConvolutionSolver:
    """As many groups as the convolution has; an input is a value below the kernel."""

    def __init__(self, layer: nn.Conv1d | nn.Conv2d) -> None:
        self._layer = layer
        self._two = isinstance(layer, nn.Conv2d)

    def places(self, read: Tensor, wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Some examples after the others, so that their patches take a bounded memory."""
        layer = self._layer
        patches = math.prod(wanted.shape[2:]) * read.shape[1] * math.prod(layer.kernel_size) * read.element_size()
        count = max(1, _CHUNK_BYTES // max(patches, 1))
        for part, targets in zip(torch.split(read, count), torch.split(wanted, count), strict=True):
            rows = self._patches(part.float())
            made = torch.unflatten(targets.float().flatten(2), 1, (layer.groups, -1))
            yield _with_one(rows, layer), made.permute(1, 0, 3, 2).flatten(1, 2)

    def _patches(self, read: Tensor) -> Tensor:
        """[G, N x positions, channels x kernel]."""
        layer = self._layer
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padded = functional.pad(read, layer._reversed_padding_repeated_twice, mode=mode)
        kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
        if not self._two:
            padded, kernel, stride, dilation = padded[:, :, None], (1, *kernel), (1, *stride), (1, *dilation)
        columns = functional.unfold(padded, kernel, dilation=dilation, stride=stride)
        patches: Tensor = torch.unflatten(columns, 1, (layer.groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)
        return patches

    def weights(self) -> Tensor:
        """[G, F, O]."""
        weight = torch.unflatten(self._layer.weight.double().cpu().flatten(1), 0, (self._layer.groups, -1))
        return _with_bias(weight.mT, self._layer)

    def take(self, weights: Tensor) -> None:
        """The last input is the bias."""
        self._layer.weight.copy_(_bias_taken(weights, self._layer).mT.reshape(self._layer.weight.shape))


class NormSolver:
    """A batch normalization: each channel is a group with one input."""

    def __init__(self, layer: _BatchNorm) -> None:
        self._layer = layer

    def places(self, read: Tensor, wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """All places at once."""
        rows, made = (value.float().transpose(0, 1).flatten(1)[..., None] for value in (read, wanted))
        yield functional.pad(rows, (0, 1), value=1.0), made

    def weights(self) -> Tensor:
        """[C, 2, 1]: the factor and the shift of each channel."""
        factor = self._layer.weight.double().cpu() / self._spread()
        shift = self._layer.bias.double().cpu() - self._mean() * factor
        return torch.stack([factor, shift], 1)[..., None]

    def take(self, weights: Tensor) -> None:
        """The statistics stay."""
        factor, shift = weights[:, 0, 0], weights[:, 1, 0]
        self._layer.weight.copy_(factor * self._spread())
        self._layer.bias.copy_(shift + self._mean() * factor)

    def _mean(self) -> Tensor:
        assert self._layer.running_mean is not None
        return self._layer.running_mean.double().cpu()

    def _spread(self) -> Tensor:
        assert self._layer.running_var is not None
        return (self._layer.running_var.double().cpu() + self._layer.eps).sqrt()


def chosen(made: Tensor, layer: nn.Module, kept: Sequence[int] | None) -> Tensor:
    """Of what the whole layer made, the outputs that are left."""
    if kept is None:
        return made
    axis = made.ndim - 1 if isinstance(layer, nn.Linear) else 1
    return made.index_select(axis, torch.tensor(list(kept), device=made.device))


def _with_one(rows: Tensor, layer: Any) -> Tensor:
    return rows if layer.bias is None else functional.pad(rows, (0, 1), value=1.0)


def _with_bias(weight: Tensor, layer: Any) -> Tensor:
    if layer.bias is None:
        return weight
    return torch.cat([weight, layer.bias.double().cpu().reshape(weight.shape[0], 1, -1)], 1)


def _bias_taken(weights: Tensor, layer: Any) -> Tensor:
    """Give the layer the bias that it has, the last input; returns the weights of the other inputs."""
    if layer.bias is None:
        return weights
    layer.bias.copy_(weights[:, -1].flatten())
    return weights[:, :-1]
