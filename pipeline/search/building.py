"""About how long a chain takes to build, going by what was built before."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from pipeline.plan import Stage, Variant, role_of
from pipeline.plan.hints import repeats
from pipeline.results.record import VariantRecord

SLOW_S = 30.0
"""A chain that takes longer to build has others looked at before."""
_TRAINING_S = 60.0
"""What a training takes at least, before there was one. Seen with fashion_resnet: 140 s for two epochs on a Xeon."""


@dataclass(slots=True)
class BuildTimes:
    """What the stages of a search took."""

    _seconds: dict[str, list[float]] = field(default_factory=dict)
    """By the class of the stage."""
    _there: set[tuple[str, ...]] = field(default_factory=set)
    """The chains that are there, and what they begin with."""

    def learn(self, variant: Variant, record: VariantRecord) -> None:
        """Take note of a chain that was built, as far as it came; one that was found counts as it did when it was
        built."""
        chain = list(map(_told, variant.stages.values()))
        for place, stage in enumerate(record.stages):
            start = tuple(chain[: place + 1])
            if start not in self._there:
                self._there.add(start)
                self._seconds.setdefault(stage.kind, []).append(stage.seconds)

    def is_slow(self, variant: Variant) -> bool:
        """Whether others are to be looked at before the chain is built."""
        return self.expected_s(variant) > SLOW_S

    def expected_s(self, variant: Variant) -> float:
        """The sum over the stages that are not there yet: the longest of the same class, which may have had other
        fields; the middle one of all stages, where there was none. More for a training, and as often as it repeats
        another stage for one that does."""
        stages = list(variant.stages.values())
        while stages and tuple(map(_told, stages)) not in self._there:
            stages.pop()
        return sum(map(self._of, list(variant.stages.values())[len(stages) :]))

    def _of(self, stage: Stage) -> float:
        own = self._longest(type(stage).__name__)
        if own is not None:
            return own
        known = [each for seconds in self._seconds.values() for each in seconds]
        usual = statistics.median(known) if known else 0.0
        if (repeated := repeats(stage)) is not None:
            kind, times = repeated
            return times * (self._longest(kind) or usual)
        return max(usual, _TRAINING_S) if role_of(stage) == "training" else usual

    def _longest(self, kind: str) -> float | None:
        return max(self._seconds.get(kind, ()), default=None)


def _told(stage: Stage) -> str:
    """Two stages that are told alike do the same."""
    return repr(stage)
