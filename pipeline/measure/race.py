"""Drops subjects between rounds: what can no longer win need not be timed to the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.group import Group
from pipeline.measure.samples import Collected

Differences = Mapping[str, Sequence[NDArray[np.float64]]]
"""The log-ratios of each subject's blocks, log(its reference's median call) - log(its own), an array a round."""
Judge = Callable[[Differences, int], Mapping[str, str]]
"""Says after a round which subjects are not timed any more, each with the reason; told all differences so far, the
clones' too, and how many rounds there were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Why a subject was not timed to the end, and after how many rounds."""

    rounds: int
    reason: str


@dataclass(slots=True, kw_only=True)
class Race:
    """A judge, and what it has dropped. Without a judge everything is timed to the end."""

    judge: Judge | None = None
    dropped: dict[str, Dropped] = field(default_factory=dict)

    def judged(self, group: Group, collected: Collected, rounds: int) -> Group:
        """The group of the next round. A subject that others are compared with stays in it, whatever the judge says."""
        if self.judge is None:
            return group
        reasons = self.judge(collected.differences(group.pairs), rounds)
        left = {key: Dropped(rounds=rounds, reason=reasons[key]) for key in group.racers if key in reasons}
        self.dropped.update(left)
        return group.without(left)

    def over(self, group: Group) -> bool:
        """Whether nothing is left but what others were compared with."""
        return self.judge is not None and not group.racers
