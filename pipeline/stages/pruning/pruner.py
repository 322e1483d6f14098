"""Prunes a module in place, a step at a time, and proves each step before it is made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.artifact.torch_layers import named_in, outputs_of
from pipeline.artifact.torch_module import ModelSpec
from pipeline.errors import StageFailed, first_line
from pipeline.plan import Context
from pipeline.stages.pruning.cut import FAILURES, Change, apply, disagreement, probe_inputs, union
from pipeline.stages.pruning.groups import Groups, Prunable, find_groups, unfollowed
from pipeline.stages.pruning.importance import (
    Importance,
    accumulate_gradients,
    reconstruction_scores,
    scorer,
    unit_scores,
)
from pipeline.stages.pruning.rank import Ranked, Scope, choose
from pipeline.stages.pruning.work import layer_macs, macs_of_unit

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger(__name__)
ROUNDED = "too few channels to take any out"
"""The beginning of the reason of a layer that is too narrow for ``round_to``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to prune, without the amount."""

    importance: Importance
    importance_examples: int
    scope: Scope
    round_to: int
    ignored_layers: tuple[str, ...]
    layer_ratios: Mapping[str, float]
    steps: int

    def ratio_of(self, prunable: Prunable) -> float | None:
        """A group's own ratio: the one of the first pattern that fits one of its layers."""
        for pattern, ratio in self.layer_ratios.items():
            if any(named_in(layer, (pattern,)) for layer in prunable.layers):
                return ratio
        return None


@dataclass(slots=True)
class Pruner:
    """Prunes one module. Afterwards ``reasons`` say why layers were left alone, and ``heads`` how many heads each
    attention had and has."""

    module: nn.Module
    spec: ModelSpec
    recipe: Recipe
    context: Context
    reasons: dict[str, str] = field(default_factory=dict)
    heads: dict[str, tuple[int, int]] = field(default_factory=dict)
    kept: dict[str, Sequence[int]] = field(default_factory=dict)
    """The outputs that are left, by the layer's name, in the numbers that they had at first."""
    _refused: dict[tuple[str, ...], str] = field(default_factory=dict)
    _first: dict[tuple[str, ...], tuple[int, float]] = field(default_factory=dict)
    """How many units each group had before the first step, and what one of them cost."""

    def prune(self, ratio: float, progress: Callable[[float, str], None]) -> None:
        """Take out the least important units until this share of them is gone; raises StageFailed where torch-pruning
        can't follow the module."""
        import torch

        steps = self.recipe.steps
        with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.context.seed)
            for parameter in self.module.parameters():
                parameter.requires_grad_(parameter.is_floating_point())  # the way back through them is what is followed
            probe = probe_inputs(self.module, self.spec)
            for step in range(1, steps + 1):
                groups = self._groups(probe)
                self._step(groups, ratio * step / steps, step / steps, probe)
                progress(step / steps, f"step {step} of {steps}")
        for parameter in self.module.parameters():
            parameter.grad = None

    def groups(self) -> list[tuple[str, ...]]:
        """The layers of each group that can be pruned; raises StageFailed as ``prune`` does."""
        found = self._groups(probe_inputs(self.module, self.spec))
        return [prunable.layers for prunable in found.prunable]

    def _groups(self, probe: tuple[torch.Tensor, ...]) -> Groups:
        try:
            return find_groups(self.module, self.spec, self.recipe.ignored_layers, probe)
        except FAILURES as error:
            raise StageFailed(f"torch-pruning can't follow this model's structure: {first_line(error)}") from error

    def _step(self, groups: Groups, ratio: float, share: float, probe: tuple[torch.Tensor, ...]) -> None:
        recipe = self.recipe
        if recipe.importance == "taylor":
            accumulate_gradients(self.module, self.spec, self.context, recipe.importance_examples)
        ranked = self._ranked(groups, ratio, share, probe)
        while True:
            ranked = [entry for entry in ranked if entry.prunable.layers not in self._refused]
            chosen = choose(ranked, recipe.scope, recipe.round_to)
            changes = self._changes(ranked, chosen)
            if changes is not None and self._agree(changes, probe):
                break
        change = union(changes.values())
        apply(self.module, change)
        self._keep(change)
        self._tell(groups, ranked, chosen)

    def _keep(self, change: Change) -> None:
        """Remember which outputs are left after a change that was made."""
        for place, gone in change.cuts.items():
            left = outputs_of(self.module.get_submodule(place.name)) if place.side == "out" else None
            if left is not None:
                before = self.kept.get(place.name, range(left + len(gone)))
                self.kept[place.name] = [own for number, own in enumerate(before) if number not in gone]

    def _changes(self, ranked: list[Ranked], chosen: list[list[int]]) -> dict[tuple[str, ...], Change] | None:
        """What has to change in the module, by group; None where a group can't be followed, which is then refused."""
        changes = {}
        for entry, units in zip(ranked, chosen, strict=True):
            try:
                if units:
                    changes[entry.prunable.layers] = entry.prunable.without(self.module, units)
            except FAILURES as error:
                self._refused[entry.prunable.layers] = unfollowed(error)
                return None
        return changes

    def _ranked(self, groups: Groups, ratio: float, share: float, probe: tuple[torch.Tensor, ...]) -> list[Ranked]:
        prunables = [prunable for prunable in groups.prunable if prunable.layers not in self._refused]
        macs = layer_macs(self.module, probe) if self.recipe.scope == "macs" else None
        ranked = []
        for prunable, known in zip(prunables, self._reconstruction(prunables), strict=True):
            scores = known if known is not None else self._scores(prunable)
            if scores is None:
                continue
            own = self.recipe.ratio_of(prunable)
            try:
                first, cost = self._at_first(prunable, macs)
            except FAILURES as error:
                self._refused[prunable.layers] = unfollowed(error)
                continue
            ranked.append(
                Ranked(
                    prunable=prunable,
                    scores=scores,
                    first_count=first,
                    ratio=ratio if own is None else own * share,
                    alone=own is not None,
                    cost=cost,
                )
            )
        return ranked

    def _at_first(self, prunable: Prunable, macs: Mapping[str, int] | None) -> tuple[int, float]:
        """How many units a group had before the first step, and what one of them cost: MACs, or 1 without them."""
        if prunable.layers not in self._first:
            cost = 1.0 if macs is None else macs_of_unit(prunable, self.module, macs)
            self._first[prunable.layers] = len(prunable.units), cost
        return self._first[prunable.layers]

    def _reconstruction(self, prunables: Sequence[Prunable]) -> Sequence[torch.Tensor | None]:
        """The scores of ``importance=reconstruction``, all groups in the same passes; None where others rank."""
        if self.recipe.importance != "reconstruction" or not prunables:
            return [None] * len(prunables)
        try:
            return reconstruction_scores(
                prunables, self.module, self.spec, self.context, self.recipe.importance_examples
            )
        except FAILURES:
            logger.info("the model can't be looked into", exc_info=True)
            return [None] * len(prunables)

    def _scores(self, prunable: Prunable) -> torch.Tensor | None:
        """The scores of a group by its weights or gradients; None where it has none, and is refused."""
        importance = self.recipe.importance
        # What reads a group may be none that could make up for anything: then its weights rank it.
        score = scorer("l2" if importance == "reconstruction" else importance)
        try:
            scores = unit_scores(prunable, score)
        except FAILURES as error:
            self._refused[prunable.layers] = f"its channels can't be told apart ({first_line(error)})"
            return None
        if scores is None:
            self._refused[prunable.layers] = f"nothing in its group has what importance={importance} is"
        return scores

    def _agree(self, changes: Mapping[tuple[str, ...], Change], probe: tuple[torch.Tensor, ...]) -> bool:
        """Whether all the changes together do what they should; else the groups are refused that alone do not, or not
        together with those before them."""
        if not changes:
            return True
        reason = disagreement(self.module, union(changes.values()), probe)
        if reason is None:
            return True
        refused = {}
        for layers, change in changes.items():
            why = disagreement(self.module, change, probe)
            if why is not None:
                refused[layers] = why
        self._refused.update(refused or self._refused_together(changes, probe))
        return False

    def _refused_together(
        self, changes: Mapping[tuple[str, ...], Change], probe: tuple[torch.Tensor, ...]
    ) -> dict[tuple[str, ...], str]:
        """The groups that can be pruned one by one, and not with those before them."""
        refused: dict[tuple[str, ...], str] = {}
        together = Change()
        for layers, change in changes.items():
            larger = union([together, change])
            reason = disagreement(self.module, larger, probe)
            if reason is None:
                together = larger
            else:
                refused[layers] = f"it can't be pruned together with others: {reason}"
        return refused

    def _tell(self, groups: Groups, ranked: list[Ranked], chosen: list[list[int]]) -> None:
        few = f"{ROUNDED} (round_to={self.recipe.round_to})"
        if self.recipe.scope != "local":
            few += ", or none of the least important ones"
        self.reasons = dict(groups.reasons)
        for entry, units in zip(ranked, chosen, strict=True):
            attention = entry.prunable.attention
            if attention is not None and units:
                before, _ = self.heads.get(attention.name, (attention.heads, attention.heads))
                self.heads[attention.name] = (before, attention.heads - len(units))
            why = "its ratio in layer_ratios is 0" if entry.alone and entry.ratio == 0 else few
            self.reasons.update(dict.fromkeys(entry.prunable.layers, why))
        for layers, reason in self._refused.items():
            self.reasons.update(dict.fromkeys(layers, reason))
