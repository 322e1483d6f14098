"""Chooses the units that go: ranks each group's units by score, among the units that they are compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.stages.pruning.groups import Prunable

if TYPE_CHECKING:
    import torch

Scope = Literal["local", "global", "isomorphic", "macs"]
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A group with its units' scores (the lowest go first) and the ratio that is asked of it."""

    prunable: Prunable
    scores: torch.Tensor
    first_count: int
    """The number of units before the first step."""
    ratio: float
    """The share of these units that shall be gone after this step."""
    alone: bool
    """Whether the group has a ratio of its own: then it is ranked by itself, whatever the scope."""
    cost: float = 1.0
    """What the ratio is a share of: a unit counts as one, or as the MACs that it took before the first step."""

    @property
    def count(self) -> int:
        """The number of units now."""
        return len(self.prunable.units)

    @property
    def lowest(self) -> list[int]:
        """The units in order, the one with the lowest score first."""
        return [int(unit) for unit in self.scores.argsort(stable=True)]

    def step(self, round_to: int) -> int:
        """The number of units kept is a multiple of this, so that channels are in multiples of ``round_to``."""
        if self.prunable.attention is not None:
            return 1
        return round_to // math.gcd(round_to, len(self.prunable.units[0]))


def choose(ranked: Sequence[Ranked], scope: Scope, round_to: int) -> list[list[int]]:
    """The units to take out, for each group. The number kept is rounded down, and some units always stay."""
    pools: dict[Any, list[int]] = {}
    for index, entry in enumerate(ranked):
        pools.setdefault(_pool(entry, index, scope), []).append(index)
    kept = [0] * len(ranked)
    for members in pools.values():
        for index, count in _counts([ranked[index] for index in members], members).items():
            kept[index] = count
    chosen = []
    for entry, count in zip(ranked, kept, strict=True):
        step = entry.step(round_to)
        stay = min(entry.count, max(count // step * step, step)) if entry.ratio else entry.count
        chosen.append(sorted(entry.lowest[: entry.count - stay]))
    return chosen


def _pool(entry: Ranked, index: int, scope: Scope) -> Any:
    """Entries of one pool are ranked together."""
    if scope == "local" or entry.alone:
        return index
    if scope == "macs":
        return None
    heads = entry.prunable.attention is not None
    return (heads, entry.prunable.kind) if scope == "isomorphic" else heads


def _counts(entries: Sequence[Ranked], names: Sequence[int]) -> Mapping[int, int]:
    """How many units each member of a pool keeps, by name: those with the lowest score for what they cost go, until no
    more is left than may stay."""
    left = sum(entry.count * entry.cost for entry in entries)
    stay = sum(entry.first_count * (1 - entry.ratio) * entry.cost for entry in entries) + _ROUNDING * left
    units = sorted(
        (float(score) / entry.cost, name, entry.cost)
        for entry, name in zip(entries, names, strict=True)
        for score in entry.scores
    )
    kept = {name: entry.count for entry, name in zip(entries, names, strict=True)}
    for _, name, cost in units:
        if left <= stay:
            break
        kept[name] -= 1
        left -= cost
    return kept
