"""Solves layers anew, so that a pruned module's layers make what the whole module's layers make.

A layer of the pruned module reads fewer channels, and what it reads has changed already. Of all weights, the ones are
taken that bring its output nearest, by least squares over examples, to the output of the same layer of the whole
module. Layers are solved in the order in which they run, so each one makes up for what those before it have lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.artifact.torch_layers import layer_types, outputs_of
from pipeline.artifact.torch_module import ModelInput
from pipeline.stages.linear.moments import Moments, best_ridge
from pipeline.stages.linear.solvers import chosen, solver_of, why_not
from pipeline.stages.pruning.passes import hooked
from pipeline.stages.pruning.replay import Batches, Replay

_SAME = 1e-6
"""A layer whose squared error is a smaller share of its squared output has nothing to make up for."""
FOLDS = 4
"""The examples of one batch in so many tell how good weights are that the others have made."""
_WIDE = 2048
"""A layer with more inputs has two parts of examples only: its moments take much memory."""
_SETTLINGS = 16
"""So many times at most, on the way through the layers, what the layers before have made is kept."""


@dataclass(frozen=True, slots=True)
class Refitted:
    """What became of one layer: the error of its output as a share of the output's square, where the ridge was chosen
    on examples that had no part in the weights, and the ridge."""

    before: float
    after: float
    ridge: float


@dataclass(slots=True)
class Refit:
    """Solves the layers of ``pruned`` in place; ``kept`` has the outputs of each layer that are left of the whole
    one's."""

    whole: nn.Module
    pruned: nn.Module
    kept: Mapping[str, Sequence[int]]
    batches: Batches
    ridge: float | None
    """None: each layer's is the one that does best on examples that had no part in its weights."""
    folder: Path
    """An empty one, for what parts of the modules make."""
    mask: int | None = None
    """Which argument says by 1 and 0 which positions of a sequence count."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why layers were left alone, by name."""

    @torch.no_grad()
    def run(self, progress: Callable[[float, str], None]) -> dict[str, Refitted]:
        """Solve all layers that can be solved; returns what became of each, by name."""
        found: dict[str, Refitted] = {}
        steps = self._steps()
        every = max(1, len(steps) // _SETTLINGS)
        whole, pruned = self._replay(self.whole, "whole", every), self._replay(self.pruned, "pruned", every)
        for number, names in enumerate(steps):
            progress(number / max(len(steps), 1), f"layer {names[0]}, {number + 1} of {len(steps)}")
            ahead = {name for later in steps[number:] for name in later}
            whole.settle(ahead)
            pruned.settle(ahead)
            for name, parts in self._moments(names, whole, pruned).items():
                refitted = self._solve(name, parts)
                if refitted is not None:
                    found[name] = refitted
        return found

    def _solve(self, name: str, parts: Sequence[Moments]) -> Refitted | None:
        """Give a layer its new weights; None where it makes what it should, or none bring it nearer."""
        moments = Moments.of(parts)
        layer = solver_of(self.pruned.get_submodule(name))
        before = layer.weights()
        wrong, signal = float(moments.error(before).sum()), float(moments.outputs.sum())
        if wrong <= _SAME * signal:
            return None
        ridge, unseen = best_ridge(parts, before) if self.ridge is None else (self.ridge, 0.0)
        after = moments.solved(before, ridge)
        left = max(float(moments.error(after).sum()), unseen)
        if not math.isfinite(left) or left >= wrong:
            self.reasons[name] = "no weights bring it nearer"
            return None
        layer.take(after)
        return Refitted(wrong / signal, left / signal, ridge)

    def _steps(self) -> list[list[str]]:
        """The layers in the order in which they run, those together that read the same values."""
        calls: list[tuple[str, Tensor]] = []
        seen: dict[str, int] = {}
        candidates = {name: layer for name, layer in self.pruned.named_modules() if self._may_be_solved(name, layer)}

        def note(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            def hook(_: nn.Module, arguments: tuple[Any, ...]) -> None:
                seen[name] = seen.get(name, 0) + 1
                calls.append((name, arguments[0]))

            return hook

        with hooked([candidates[name].register_forward_pre_hook(note(name)) for name in candidates]):
            self.pruned(*next(self.batches()))
        for name in candidates:
            if seen.get(name, 0) != 1:
                self.reasons[name] = "it does not run" if name not in seen else "it runs more than once"
        once = [(name, value) for name, value in calls if seen[name] == 1]
        steps = [[name] for name, _ in once[:1]]
        for (_, before), (name, value) in pairwise(once):
            if value is before:
                steps[-1].append(name)
            else:
                steps.append([name])
        return steps

    def _may_be_solved(self, name: str, layer: nn.Module) -> bool:
        """Whether a module is a layer that can be solved; the reasons are kept of those that can't."""
        if not isinstance(layer, (*layer_types(), _BatchNorm)):
            return False
        reason = why_not(layer) or self._why_unlike(name, layer)
        if reason is not None:
            self.reasons[name] = reason
        return reason is None

    def _why_unlike(self, name: str, layer: nn.Module) -> str | None:
        try:
            original = self.whole.get_submodule(name)
        except AttributeError:
            return "the baseline has no such layer"
        if type(original) is not type(layer):
            return "it is of another type in the baseline"
        kept = self.kept.get(name)
        left = outputs_of(original) if kept is None else len(kept)
        return None if left == outputs_of(layer) else "which of its outputs are left is not known"

    def _replay(self, module: nn.Module, name: str, every: int) -> Replay:
        folder = self.folder / name
        folder.mkdir()
        return Replay(module, self.batches, folder, every)

    def _moments(self, names: Sequence[str], whole: Replay, pruned: Replay) -> dict[str, list[Moments]]:
        """What the examples tell about each layer, in FOLDS parts at most, of other examples each."""
        found: dict[str, list[Moments]] = {name: [] for name in names}
        solvers = {name: solver_of(self.pruned.get_submodule(name)) for name in names}
        sums = self._sum_after(names[0]) if len(names) == 1 else None
        for number, arguments in enumerate(self.batches()):
            if sums is None:
                read = pruned.captured(number, arguments, names)
                made = whole.captured(number, arguments, names, outputs=True)
                wanted = {name: self._kept(name, value) for name, value in made.items()}
            else:
                read = pruned.captured(number, arguments, [names[0], sums])
                there = whole.captured(number, arguments, [sums])[sums]
                wanted = {names[0]: self._missing(names[0], read[names[0]], read[sums], there)}
            for name, solver in solvers.items():
                parts = found[name]
                for rows, targets in solver.places(*counted(self.mask, arguments, read[name], wanted[name])):
                    part = number % self._folds(rows.shape[2])
                    if part == len(parts):
                        parts.append(Moments.none(rows.shape[0], rows.shape[2], targets.shape[2]))
                    parts[part].add(rows, targets)
        return found

    def _folds(self, inputs: int) -> int:
        if self.ridge is not None:
            return 1
        return FOLDS if inputs <= _WIDE else 2

    def _kept(self, name: str, made: Tensor) -> Tensor:
        """Of what a layer of the whole module makes, what the pruned one's makes too."""
        return chosen(made, self.pruned.get_submodule(name), self.kept.get(name))

    def _missing(self, name: str, read: Tensor, here: Tensor, there: Tensor) -> Tensor:
        """What the layer should make of what it reads, for the sum that it is a part of, ``here``, to be the whole
        module's, ``there``."""
        own: Tensor = self.pruned.get_submodule(name)(read)
        return own + self._kept(name, there) - here

    def _sum_after(self, name: str) -> str | None:
        """The module that reads the sum of the layer's output and something else, the first there is; None where there
        is none: what is added to the layer's output arrives there as it is."""
        arguments = [value[:2] for value in next(self.batches())]
        plain, made = _inputs(self.pruned, name, arguments, None)
        generator = torch.Generator().manual_seed(0)
        extra = torch.randn(made.shape, generator=generator).to(made) * made.std()
        changed, _ = _inputs(self.pruned, name, arguments, extra)
        for other, value in plain.items():
            if value.shape == made.shape and not torch.equal(value, made):
                arrived = changed[other] - value
                if torch.allclose(arrived, extra, rtol=1e-3, atol=1e-4 * float(extra.abs().max())):
                    return other
        return None


def _inputs(
    module: nn.Module, name: str, arguments: Sequence[Tensor], extra: Tensor | None
) -> tuple[dict[str, Tensor], Tensor]:
    """What modules read that run after a layer only, and what the layer makes, to which ``extra`` is added."""
    made: list[Tensor] = []
    found: dict[str, Tensor] = {}
    before: set[str] = set()

    def add(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
        made.append(output)
        return output if extra is None else output + extra

    def note(other: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(_: nn.Module, given: tuple[Any, ...]) -> None:
            if not made:
                before.add(other)
            elif other not in before and given and isinstance(given[0], Tensor):
                found.setdefault(other, given[0].clone())

        return hook

    handles = [module.get_submodule(name).register_forward_hook(add)]
    handles += [other.register_forward_pre_hook(note(key)) for key, other in module.named_modules()]
    with hooked(handles):
        module(*arguments)
    return found, made[0]


def counted(place: int | None, arguments: Sequence[Tensor], read: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer reads and makes without the positions that the mask, the argument at ``place``, leaves out; all of
    it where the layer does not work on each position by itself."""
    mask = None if place is None else arguments[place] != 0
    if mask is None or read.shape[:-1] != mask.shape or made.shape[:-1] != mask.shape:
        return read, made
    return read[mask], made[mask]


def mask_of(inputs: Sequence[ModelInput]) -> int | None:
    """Which input says by 1 and 0 which positions of a sequence count: the one whose name ends so."""
    return next((place for place, entry in enumerate(inputs) if entry.name.endswith("mask")), None)
