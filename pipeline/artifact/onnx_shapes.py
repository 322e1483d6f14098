"""Computes with shapes as Python numbers, where a graph of onnx2pytorch would compute with tensors.

A graph takes a shape apart and puts another together (Shape, Gather, Concat, …) for a Reshape or an Expand. As tensors
the sizes lose what they are of, and an exporter writes the batch that it saw. As numbers they keep it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import onnx
import torch
from onnx import TensorProto
from torch import nn

Value = Any
"""A size, a list of sizes, or what was compared of them."""


class ShapeOf(nn.Module):
    """The shape of a tensor, or a part of it."""

    def __init__(self, start: int = 0, end: int | None = None) -> None:
        super().__init__()
        self.start, self.end = start, end

    def forward(self, data: torch.Tensor) -> list[int]:
        """Data of any shape."""
        return list(data.shape[self.start : self.end])


class OnSizes(nn.Module):
    """An operator on sizes; ``given`` has its constant inputs, None where an input is made by another node."""

    def __init__(self, operator: str, given: Sequence[Value | None]) -> None:
        super().__init__()
        self.operator, self.given = operator, list(given)

    def forward(self, *made: Value) -> Value:
        """The inputs that other nodes make, in order."""
        rest = iter(made)
        return OPERATORS[self.operator](*(next(rest) if value is None else value for value in self.given))


class Fill(nn.Module):
    """A tensor of one value (ConstantOfShape)."""

    like: torch.Tensor

    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = value.item()
        self.register_buffer("like", value, persistent=False)  # it follows the model to its device

    def forward(self, sizes: Sequence[int]) -> torch.Tensor:
        """The sizes of the tensor."""
        return torch.full(tuple(sizes), self.value, dtype=self.like.dtype, device=self.like.device)


class Expand(nn.Module):
    """Repeats what has one entry on an axis; ``sizes`` are constant, or come with each call."""

    def __init__(self, sizes: Sequence[int] = ()) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, data: torch.Tensor, sizes: Sequence[int] = ()) -> torch.Tensor:
        """Data, and sizes that it can be broadcast with."""
        wanted = torch.broadcast_shapes(data.shape, tuple(sizes) or self.sizes)  # type: ignore[no-untyped-call]
        return data.expand(wanted)


class OnTensors(nn.Module):
    """An operator that takes sizes as a tensor."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *values: Any) -> Any:
        """Tensors and sizes."""
        device = next((value.device for value in values if isinstance(value, torch.Tensor)), None)
        tensors = [value if isinstance(value, torch.Tensor) else torch.tensor(value, device=device) for value in values]
        return self.layer(tensors) if isinstance(self.layer, partial) else self.layer(*tensors)


def computes_with_sizes(node: onnx.NodeProto) -> bool:
    """Whether a node that reads nothing but sizes and constants makes sizes of them."""
    kinds = [entry.i for entry in node.attribute if entry.name == "to"]
    return node.op_type in OPERATORS and all(node.input) and not set(kinds) - {TensorProto.INT32, TensorProto.INT64}


def _each(function: Callable[..., Value]) -> Callable[..., Value]:
    """The operator on sizes one by one; a single one goes with each of a list."""

    def on_lists(*values: Value) -> Value:
        length = max((len(value) for value in values if isinstance(value, list)), default=None)
        if length is None:
            return function(*values)
        columns = (value * length if isinstance(value, list) and len(value) == 1 else value for value in values)
        full = [column if isinstance(column, list) else [column] * length for column in columns]
        return [function(*row) for row in zip(*full, strict=True)]

    return on_lists


def _gather(sizes: list[Value], places: Value) -> Value:
    return [sizes[place] for place in places] if isinstance(places, list) else sizes[places]


def _slice(sizes: list[Value], starts: Value, ends: Value, axes: Value = None, steps: Value = None) -> Value:
    return sizes[starts[0] : ends[0] : steps[0] if steps else 1]


def _listed(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [value]


OPERATORS: Mapping[str, Callable[..., Value]] = {
    "Add": _each(lambda one, other: one + other),
    "Cast": lambda value: value,
    "Concat": lambda *values: [size for value in values for size in _listed(value)],
    "Div": _each(lambda one, other: one // other),
    "Equal": _each(lambda one, other: one == other),
    "Gather": _gather,
    "Identity": lambda value: value,
    "Mul": _each(lambda one, other: one * other),
    "Slice": _slice,
    "Squeeze": lambda value, axes=None: value[0] if isinstance(value, list) else value,
    "Sub": _each(lambda one, other: one - other),
    "Unsqueeze": lambda value, axes: _listed(value),
    "Where": _each(lambda condition, one, other: one if condition else other),
}
"""The operators that are computed with numbers. Shapes are lists, so all of them work on axis 0."""
