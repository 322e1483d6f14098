"""What the candidates of a search have taken so far, and what the next ones take, going by those."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.plan import Target
from pipeline.plan.hints import loads_slowly
from pipeline.search.look import TOGETHER

_COMPILING_S = 30.0
"""What a look at a model takes at least that is compiled each time that it is loaded. Seen with fashion_resnet: 36 s on
a Xeon."""


@dataclass(slots=True)
class Pace:
    """The seconds of a search that have gone into each of its works."""

    building_s: float = 0.0
    timing_s: float = 0.0
    judging_s: float = 0.0
    looked: int = 0
    """How many candidates were looked at."""

    def together(self, left_s: float) -> int:
        """How many candidates are looked at together: as many as can be timed and judged in the time that is left, if
        each takes what those before took."""
        each_s = self._each_s()
        return max(1, min(TOGETHER, int(left_s / each_s))) if each_s else TOGETHER

    def look_s(self, target: Target) -> float:
        """About what timing and judging a candidate on the target takes."""
        return max(self._each_s(), _COMPILING_S if loads_slowly(target) else 0.0)

    def _each_s(self) -> float:
        """What timing and judging a candidate took, on average; 0 before there was one."""
        return (self.timing_s + self.judging_s) / self.looked if self.looked else 0.0
