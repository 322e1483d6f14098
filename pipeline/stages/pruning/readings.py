"""What layers read, and how much the outputs of the module mind an error in what they make."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.artifact.torch_module import as_tensors
from pipeline.stages.linear.solvers import solver_of
from pipeline.stages.pruning.cut import FAILURES
from pipeline.stages.pruning.passes import hooked
from pipeline.stages.pruning.refit import counted
from pipeline.stages.pruning.replay import Batches

logger = logging.getLogger(__name__)
_WITH_GRADIENT = 256
"""How many examples tell what the outputs mind, from the first on."""


@dataclass(slots=True)
class Reading:
    """Sums over all places where a layer is applied, in double precision."""

    inputs: Tensor
    """The products of what it reads with each other [F, F]."""
    influence: Tensor
    """The products of the gradients of what it makes [O, O], of the first examples."""
    places: int = 0


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a layer."""

    name: str
    read: Tensor
    error: Tensor
    """0, added to what the layer made, so that its gradient can be asked for."""


def readings(module: nn.Module, names: Collection[str], batches: Batches, mask: int | None) -> dict[str, Reading]:
    """Look into layers that mix all their inputs, in one pass; one that can't be looked into is missing.

    The gradients are those of random sums of the outputs, each output in units of its root mean square. So an error
    with the products E of its values [O, O] costs the outputs ``(E * influence).sum() / places``, as far as errors at
    different places are independent (K-FAC, Martens & Grosse 2015, arXiv:1503.05671), and up to a factor that all
    layers share. ``mask`` is the argument that says by 1 and 0 which positions count.
    """
    found: dict[str, Reading] = {}
    failed: set[str] = set()
    generator = torch.Generator().manual_seed(0)
    seen = 0
    for arguments in batches():
        calls, minded = _calls(module, names, arguments, generator if seen < _WITH_GRADIENT else None)
        seen += len(arguments[0])
        for call, gradient in zip(calls, minded, strict=True):
            if call.name in failed:
                continue
            beside = torch.zeros_like(call.error) if gradient is None else gradient
            try:
                _add(found, module, call.name, *counted(mask, arguments, call.read, beside))
            except FAILURES:
                logger.info("%s can't be looked into", call.name, exc_info=True)
                failed.add(call.name)
    return {name: reading for name, reading in found.items() if name not in failed}


def _add(found: dict[str, Reading], module: nn.Module, name: str, read: Tensor, minded: Tensor) -> None:
    for rows, gradients in solver_of(module.get_submodule(name)).places(read, minded):
        own = found.setdefault(name, Reading(_none(rows.shape[2]), _none(gradients.shape[2])))
        own.inputs += (rows[0].mT @ rows[0]).double().cpu()
        own.influence += (gradients[0].mT @ gradients[0]).double().cpu()
        own.places += rows.shape[1]


def _none(size: int) -> Tensor:
    return torch.zeros(size, size, dtype=torch.float64)


def _calls(
    module: nn.Module, names: Collection[str], arguments: Sequence[Tensor], generator: torch.Generator | None
) -> tuple[list[_Call], Sequence[Tensor | None]]:
    """The calls of layers in one pass, and the gradient of what each one made; without a generator no gradients."""
    calls: list[_Call] = []

    def watch(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], Tensor]:
        def hook(_: nn.Module, given: tuple[Any, ...], made: Tensor) -> Tensor:
            calls.append(_Call(name, given[0].detach().clone(), torch.zeros_like(made, requires_grad=True)))
            return made + calls[-1].error  # a value of its own: what follows may write into it

        return hook

    handles = [module.get_submodule(name).register_forward_hook(watch(name)) for name in names]
    with torch.set_grad_enabled(generator is not None), hooked(handles):
        outputs = as_tensors(module(*arguments))
        total = None if generator is None else _random_sum(outputs, generator)
    if total is None or not calls:
        return calls, [None] * len(calls)
    return calls, torch.autograd.grad(total, [call.error for call in calls], allow_unused=True)


def _random_sum(outputs: Sequence[Tensor], generator: torch.Generator) -> Tensor | None:
    """A sum of all outputs with random weights, each output in units of its root mean square; None where none of them
    has a gradient."""
    sums = []
    for value in outputs:
        if value.requires_grad:
            weights = torch.randn(value.shape, generator=generator).to(value)
            size = value.detach().square().mean().sqrt().clamp_min(torch.finfo(value.dtype).tiny)
            sums.append((value * weights).sum() / size)
    return torch.stack(sums).sum() if sums else None
