"""What a run is about to do, in one line, and how long its parts are likely to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.plan import Plan
from pipeline.results import numbers as show
from pipeline.run import accuracy, mapping, tries
from pipeline.run.keys import Keys
from pipeline.run.planned import Stored
from pipeline.run.speed import latency_label


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """A run before its work."""

    variants: int
    targets: int
    building: Mapping[str, float | None]
    """What is to be built, by the label of its step, and how many seconds it is likely to take; None: not known."""
    measuring: Sequence[str]
    """The labels of the steps that follow; how long they take is known once they have begun."""
    budget_s: float | None
    """The most that measuring latencies takes; None: it has no budget."""

    @property
    def parts(self) -> dict[str, float | None]:
        """The seconds of all steps that take long, by label; None: not known."""
        return {**self.building, **dict.fromkeys(self.measuring)}

    def __str__(self) -> str:
        counts = f"{show.counted(self.variants, 'variant')} on {show.counted(self.targets, 'target')}"
        measuring = "" if self.budget_s is None else f", at most {show.duration(self.budget_s)} for the latencies"
        return f"{counts}: {self._building()}; then measuring{measuring}"

    def _building(self) -> str:
        if not self.building:
            return "nothing to build"
        known = [seconds for seconds in self.building.values() if seconds is not None]
        told = f"{show.counted(len(self.building), 'model')} to build"
        if not known:
            return told
        unknown = len(self.building) - len(known)
        rest = f"; not known for {unknown}" if unknown else ""
        return f"{told} (about {show.duration(sum(known))}, going by earlier ones{rest})"


def outlook(plan: Plan, keys: Keys) -> Outlook:
    """What a run of a plan is about to do."""
    return Outlook(
        variants=len(plan.variants),
        targets=len(plan.targets),
        building=Stored(plan=plan, keys=keys, verified=False).missing(),  # building verifies what it takes
        measuring=_measuring(plan),
        budget_s=plan.measure.budget_s,
    )


def _measuring(plan: Plan) -> list[str]:
    """The labels of the long steps behind the building, in their order."""
    maps = [mapping.LABEL] if mapping.is_wanted(plan) and len(plan.variants) > 1 else []
    devices = dict.fromkeys(target.device for target in plan.targets.values())
    trying = [tries.LABEL] if tries.are_wanted(plan) else []
    return [*maps, *map(latency_label, devices), accuracy.LABEL, *trying]
