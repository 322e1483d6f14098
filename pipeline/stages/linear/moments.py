"""What examples tell about a linear map, in a size that does not grow with them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(slots=True)
class Moments:
    """Sums over all places where a layer is applied, in G groups of F inputs and O outputs, in double precision."""

    inputs: Tensor
    """The products of inputs with inputs [G, F, F]."""
    both: Tensor
    """The products of inputs with wanted outputs [G, F, O]."""
    outputs: Tensor
    """The squares of the wanted outputs, summed [G, O]."""

    @classmethod
    def none(cls, groups: int, inputs: int, outputs: int) -> Moments:
        """Before any example."""
        zeros = torch.zeros(groups, inputs, inputs + outputs, dtype=torch.float64)
        return cls(zeros[..., :inputs].clone(), zeros[..., inputs:].clone(), torch.zeros(groups, outputs).double())

    def add(self, rows: Tensor, wanted: Tensor) -> None:
        """Add places: ``rows`` [G, P, F] and ``wanted`` [G, P, O]."""
        self.inputs += (rows.mT @ rows).double().cpu()
        self.both += (rows.mT @ wanted).double().cpu()
        self.outputs += wanted.double().square().sum(1).cpu()

    def error(self, weights: Tensor) -> Tensor:
        """The squared error of weights [G, F, O], by output [G, O]."""
        fitted = (weights * (self.inputs @ weights - 2 * self.both)).sum(1)
        error: Tensor = (self.outputs + fitted).clamp_min(0)
        return error

    def solved(self, before: Tensor, ridge: float) -> Tensor:
        """The weights [G, F, O] of least error; ``ridge``, a share of the inputs' mean square, pulls them towards the
        weights before."""
        size = self.inputs.shape[-1]
        mean = self.inputs.diagonal(dim1=-2, dim2=-1).mean(-1)
        pull = (ridge * mean).clamp_min(torch.finfo(torch.float64).tiny)[:, None, None] * torch.eye(size).double()
        step: Tensor = torch.linalg.solve_ex(self.inputs + pull, self.both - self.inputs @ before)[0]
        return before + step
