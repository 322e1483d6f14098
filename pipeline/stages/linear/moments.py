"""What examples tell about a linear map, in a size that does not grow with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RIDGES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""What may pull weights towards those before, as a share of the inputs' mean square."""
_FIRST = RIDGES.index(1e-2)
"""The pull that is tried first, and taken where nothing tells which is best."""


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
    def of(cls, parts: Iterable[Moments]) -> Moments:
        """Those of all parts together, of which there is one at least; those of a single one are itself."""
        first, *others = parts
        if not others:
            return first
        found = cls(first.inputs.clone(), first.both.clone(), first.outputs.clone())
        for other in others:
            found.inputs += other.inputs
            found.both += other.both
            found.outputs += other.outputs
        return found

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


def held_out(parts: Sequence[Moments], before: Tensor, ridge: float) -> float:
    """The squared error of weights on parts of the examples that had no part in them: each part is judged with weights
    of all others (cross-validation)."""
    total = 0.0
    for number, part in enumerate(parts):
        others = Moments.of(other for place, other in enumerate(parts) if place != number)
        total += float(part.error(others.solved(before, ridge)).sum())
    return total if math.isfinite(total) else math.inf


def best_ridge(parts: Sequence[Moments], before: Tensor) -> tuple[float, float]:
    """Of RIDGES the one of least error on examples that had no part in the weights, and this error; it is looked for
    downhill, from the middle. Of a single part none can be held out, and the error is the one that it leaves."""
    if len(parts) < 2:
        return RIDGES[_FIRST], float(parts[0].error(parts[0].solved(before, RIDGES[_FIRST])).sum())
    errors = {_FIRST: held_out(parts, before, RIDGES[_FIRST])}
    for step in (1, -1):
        place = _FIRST
        while 0 <= place + step < len(RIDGES):
            errors[place + step] = held_out(parts, before, RIDGES[place + step])
            if errors[place + step] >= errors[place]:
                break
            place += step
        if place != _FIRST:
            break
    best = min(errors, key=errors.__getitem__)
    return RIDGES[best], errors[best]
