"""Products of a graph as PyTorch layers, whose weights can be solved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from pipeline.stages.linear.solvers import Solver, solver_of, why_not

if TYPE_CHECKING:
    import onnx

_SIZES: Mapping[int, Any] = {3: nn.Conv1d, 4: nn.Conv2d}


@dataclass(frozen=True, slots=True, kw_only=True)
class Solvable:
    """A product with constant weights; the layer has a bias in any case."""

    layer: nn.Linear | nn.Conv1d | nn.Conv2d
    pads: tuple[int, ...]
    """What is put around what it reads, as PyTorch's ``pad`` takes it."""
    turned: bool
    """Whether the graph has the weights as [inputs, outputs]."""

    @property
    def solver(self) -> Solver:
        """The layer as a linear map, whose last input is the bias."""
        return solver_of(self.layer)

    def read(self, value: NDArray[Any]) -> Tensor:
        """What the layer reads, padded."""
        return functional.pad(torch.from_numpy(value).float(), self.pads)

    def as_map(self, weights: NDArray[Any]) -> Tensor:
        """Weights, or what else has their form in the graph, as [G, F, O]."""
        array = np.array(weights.T if self.turned else weights, np.float32)
        with torch.no_grad():
            self.layer.weight.copy_(torch.from_numpy(array))
            return self.solver.weights()[:, :-1]

    def as_array(self, weights: Tensor) -> NDArray[np.float32]:
        """A map [G, F, O] in the form that the graph has it in."""
        with torch.no_grad():
            self.solver.take(functional.pad(weights, (0, 0, 0, 1)))
        array: NDArray[np.float32] = self.layer.weight.detach().numpy().copy()
        return array.T if self.turned else array


def solvable(node: onnx.NodeProto, shape: tuple[int, ...]) -> Solvable | None:
    """A product whose weights have this shape; None where it can't be solved."""
    given = {entry.name: entry for entry in node.attribute}
    if node.op_type in ("Gemm", "MatMul"):
        if len(shape) != 2 or ("transA" in given and given["transA"].i):
            return None
        turned = not ("transB" in given and given["transB"].i)
        inputs, outputs = shape if turned else shape[::-1]
        return _checked(Solvable(layer=nn.Linear(inputs, outputs), pads=(), turned=turned))
    kind = _SIZES.get(len(shape))
    if node.op_type != "Conv" or kind is None or ("auto_pad" in given and given["auto_pad"].s not in (b"", b"NOTSET")):
        return None
    axes = len(shape) - 2
    lists = {name: list(given[name].ints) if name in given else [1] * axes for name in ("strides", "dilations")}
    ends = list(given["pads"].ints) if "pads" in given else [0] * 2 * axes
    groups = given["group"].i if "group" in given else 1
    layer: nn.Conv1d | nn.Conv2d = kind(
        shape[1] * groups,
        shape[0],
        shape[2:],
        stride=tuple(lists["strides"]),
        dilation=tuple(lists["dilations"]),
        groups=groups,
    )
    pads = tuple(end for axis in reversed(range(axes)) for end in (ends[axis], ends[axes + axis]))
    return _checked(Solvable(layer=layer, pads=pads, turned=False))


def _checked(product: Solvable) -> Solvable | None:
    return None if why_not(product.layer) else product
