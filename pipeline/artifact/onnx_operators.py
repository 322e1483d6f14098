"""The operators of onnx2pytorch that exporters can't follow, in a form that they can.

The library hands sizes and axes to an operator as tensors and reads their values at each call. Here an operator has
constant ones as numbers, and gets those that other nodes make as numbers (``pipeline.artifact.onnx_shapes``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from onnx2pytorch import operations
from onnx2pytorch.utils import extract_padding_params
from torch import nn
from torch.nn import functional

from pipeline.artifact.onnx_shapes import Expand, Fill, OnTensors

Numbers = Sequence[list[Any] | float | int | None]
"""The values of an operator's inputs after the first; None where one is left out."""
_REDUCTIONS = tuple(kind for name, kind in vars(operations).items() if name.startswith("Reduce"))
_OVER_AXES: Mapping[type[nn.Module], Callable[..., torch.Tensor]] = {
    operations.ReduceMean: torch.mean,
    operations.ReduceSum: torch.sum,
    operations.ReduceMax: torch.amax,
    operations.ReduceMin: torch.amin,
}


class Gather(nn.Module):
    """Takes entries along an axis; the library's own indexes with a list, which PyTorch reads in another way."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, data: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """Any data and whole numbers."""
        place: Any = (*(slice(None),) * self.axis, indices.long())
        return data[place]


class Reduction(nn.Module):
    """Reduces fractions over axes; the library's own makes a tensor of the axes' numbers at each call."""

    def __init__(self, layer: Any, axes: Sequence[int]) -> None:
        super().__init__()
        self.layer, self.axes = layer, tuple(axes)

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        """Any data."""
        if not data.is_floating_point():
            result: torch.Tensor = self.layer(data)
            return result
        return _OVER_AXES[type(self.layer)](data, dim=self.axes, keepdim=bool(self.layer.keepdim))


class Slice(nn.Module):
    """Takes a part of each axis, forwards."""

    def __init__(self, parts: dict[int, slice]) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        """Data of any shape."""
        parts = {axis % data.ndim: part for axis, part in self.parts.items()}
        return data[tuple(parts.get(axis, slice(None)) for axis in range(data.ndim))]


class EqualParts(operations.Split):  # type: ignore[misc]  # the library has no types
    """Splits an axis into equal parts, however long it is by then; the library's own keeps the first lengths."""

    def __init__(self, axis: int, parts: int) -> None:
        super().__init__(dim=axis, number_of_splits=parts)

    def forward(self, data: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Data of any shape."""
        return torch.split(data, list(self._get_sections((data,))), self.dim)


class Resize(nn.Module):
    """The library's, with its scales or sizes as numbers."""

    def __init__(self, layer: Any, scales: Sequence[float], sizes: Sequence[int]) -> None:
        super().__init__()
        self.layer, self.scales, self.sizes = layer, list(scales), list(sizes)

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        """Pictures [N, C, ...]; scales or sizes that leave the first two axes out are those of the others."""
        others = data.ndim - 2
        if len(self.sizes) == others:
            mode = self.layer.torch_mode(others)
            return functional.interpolate(data, size=self.sizes, mode=mode, align_corners=self.layer.align_corners)
        scales = [1.0, 1.0, *self.scales] if len(self.scales) == others else self.scales
        resized: torch.Tensor = self.layer.interpolate(data, None, scales, self.sizes)
        return resized


def reading_sizes(layer: Any) -> Any:
    """The operator with sizes that other nodes make as numbers."""
    if isinstance(layer, operations.Reshape):
        return layer
    if isinstance(layer, operations.Expand):
        return Expand()
    return Fill(layer.constant) if isinstance(layer, operations.ConstantOfShape) else OnTensors(layer)


def settled(layer: Any, numbers: Numbers) -> Any:
    """The operator with its constant inputs in it, so that it is called with the first input only; None where it is
    none of those that need it, or they are left out."""
    first = numbers[0] if numbers else None
    if isinstance(layer, operations.Clip):
        layer.min, layer.max = (*numbers, None, None)[:2]
        return layer
    if isinstance(layer, operations.Resize):
        _, scales, sizes = (*numbers, None, None, None)[:3]
        return Resize(layer, *(value if isinstance(value, list) else [] for value in (scales, sizes)))
    if not isinstance(first, list):
        return None
    if isinstance(layer, operations.Reshape):
        layer.shape = first
    elif isinstance(layer, _REDUCTIONS):
        layer.dim = tuple(first) or layer.dim
        return over_axes(layer)
    elif isinstance(layer, (operations.Squeeze, operations.Unsqueeze)):
        layer.dim, layer.opset_version = first, 1  # so it reads its own axes
    elif isinstance(layer, operations.Split):
        layer.split_size_or_sections = tuple(first)
        return in_parts(layer)
    elif isinstance(layer, operations.Expand):
        return Expand(first)
    elif isinstance(layer, operations.Slice):
        return _slice(layer, numbers)
    elif isinstance(layer, operations.Pad) and len(numbers) < 3:
        layer.padding = extract_padding_params(first)
        layer.value = numbers[1] if len(numbers) > 1 and numbers[1] is not None else layer.value
    else:
        return None
    return layer


def with_one_input(layer: Any) -> Any:
    """An operator that reads one value and knows the rest, as exporters can follow it."""
    return in_parts(layer) if isinstance(layer, operations.Split) else over_axes(layer)


def in_parts(layer: Any) -> Any:
    """A splitting as it is, or into equal parts where its own are equal."""
    lengths = layer.split_size_or_sections
    if lengths is None:
        return EqualParts(layer.dim, layer.number_of_splits)
    return EqualParts(layer.dim, len(lengths)) if len(set(lengths)) == 1 else layer


def over_axes(layer: Any) -> Any:
    """A reduction over axes that it knows, as exporters can follow it; any other operator as it is."""
    axes = (layer.dim,) if isinstance(getattr(layer, "dim", None), int) else getattr(layer, "dim", None)
    return Reduction(layer, axes) if type(layer) in _OVER_AXES and axes else layer


def _slice(layer: Any, numbers: Numbers) -> Slice | None:
    starts, ends, axes, steps = (value if isinstance(value, list) else None for value in (*numbers, None, None)[:4])
    assert starts is not None
    if ends is None:
        return None
    axes = axes or list(range(len(starts)))
    steps = steps or [1] * len(starts)
    if min(steps) < 1:
        return None
    return Slice({axis: slice(*part) for axis, *part in zip(axes, starts, ends, steps, strict=True)})
