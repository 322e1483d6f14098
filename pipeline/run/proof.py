"""The proof of a search: the plan of the run that times the finalists anew, the test examples that it judges, and the
time that is kept for it, and so left for looking."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.data.dataset import Split
from pipeline.measure.schedule import expect
from pipeline.plan import BASELINE, Plan
from pipeline.run.mapping import expected_s
from pipeline.search.building import SLOW_S
from pipeline.search.space import Candidate

_LEAST, _MOST, _WHOLE = 0.15, 0.5, 0.8
"""The shares of the budget that are kept: at least for the proof's rounds, at most for the whole proof, and at most
where the test split is slow."""
_JUDGING, _FEWEST_JUDGED = 0.3, 32
"""The share of the budget that the test split may take, and how many of its examples are judged however long they
take."""
_BUILDING = 0.15
"""The share of the time that is left for which candidates are built before those that are ready are looked at, where
that is longer than ``SLOW_S``. The reference is timed in each look, so few looks are cheaper than many."""
_LONGEST_LOOK, _BRIEFEST_LOOK_S = 1 / 3, 20.0
"""A look takes this share of the time that is left at most, and the seconds at least."""
_START_S = 1.0
"""About what starting and loading a model takes, in each round."""
_ALONE_S, _ALONE_CALLS, _WRITING_S = 3.0, 12, 20.0
"""About what a row takes by itself (memory, profile), with so many calls, and what the program's start and end, the
peaks, the report and the bundle take. Seen with EfficientNet-Lite0 on a Xeon: 18 s."""
_SIDE_BY_SIDE = 1.5
"""How many rows are judged at once, as far as it saves time: two on two cores share their memory."""
_MS_PER_S = 1e3


@dataclass(slots=True, kw_only=True)
class Clock:
    """Shares a search's budget between looking and the proof."""

    plan: Plan
    began: float
    """The time of ``time.monotonic`` at which the run began."""
    tested: int
    """The number of examples of the test split."""
    divisible: bool = True
    """Whether a part of them can be judged; of calls that carry a state none can be left out."""
    call_ms: float | None = None
    """The reference's median call; None before it was timed."""
    speeds: Sequence[float] = ()
    """How many times as fast as the reference the finalists are, as far as they are known."""

    @property
    def budget_s(self) -> float:
        """The time for the whole run."""
        return self.plan.searched.budget_s

    @property
    def finalists(self) -> int:
        """How many candidates are proven."""
        return self.plan.searched.finalists

    @property
    def judged(self) -> int:
        """How many test examples the proof judges: as many as a share of the budget allows."""
        if self.call_ms is None or not self.divisible:
            return self.tested
        rows = self.finalists + 1
        affordable = int(_JUDGING * self.budget_s / (rows * self.call_ms / _MS_PER_S / _SIDE_BY_SIDE))
        return min(self.tested, max(affordable, _FEWEST_JUDGED))

    @property
    def over(self) -> str:
        """Why what still waits has no turn."""
        return f"the time for looking was over (search.budget_s={self.budget_s:g})"

    def spent_s(self) -> float:
        """The time since the run began."""
        return time.monotonic() - self.began

    def left_s(self) -> float:
        """The time that is left for building and looking."""
        return self.budget_s - self.proof_s() - self.spent_s()

    def building_s(self, answered: bool) -> float:
        """How long candidates are built before those that are ready are looked at; a first answer does not wait."""
        return max(SLOW_S, _BUILDING * self.left_s()) if answered else SLOW_S

    def look_s(self, looked_at: int, waiting: int) -> float:
        """How long a look at some of the candidates that wait may take: their share of the time that is left. Slow
        models have fewer blocks and rounds then, and others have their turn."""
        left_s = self.left_s()
        return max(min(left_s * looked_at / max(1, waiting), _LONGEST_LOOK * left_s), _BRIEFEST_LOOK_S)

    def proof_s(self) -> float:
        """About what the proof takes, within its shares of the budget."""
        if self.call_ms is None:
            return _MOST * self.budget_s
        unknown = self.finalists - len(self.speeds)
        calls_ms = [*self._calls_ms(self.call_ms), *[self.call_ms] * unknown]
        beside_s, least_s = self._beside_s(calls_ms), _LEAST * self.budget_s
        most_s = min(max(_MOST * self.budget_s, beside_s + least_s), _WHOLE * self.budget_s)
        return min(max(self._rounds_s(calls_ms), least_s) + beside_s, most_s)

    def measuring_s(self) -> float:
        """What is left of the budget for the proof's rounds, once all finalists are known; at least a share of the
        budget."""
        beside_s = self._beside_s(self._calls_ms(self.call_ms or 1.0))
        return max(self.budget_s - self.spent_s() - beside_s, _LEAST * self.budget_s)

    def _calls_ms(self, call_ms: float) -> list[float]:
        """The calls of the reference and of the finalists that are known."""
        return [call_ms, *(call_ms / speed for speed in self.speeds)]

    def _rounds_s(self, calls_ms: Sequence[float]) -> float:
        """About what the rounds up to the first look take, for the reference, its clone and the finalists."""
        rows = {str(number): call_ms for number, call_ms in enumerate([calls_ms[0], *calls_ms])}
        return expect(rows, len(rows) * _START_S, self.plan.measure).seconds[0]

    def _beside_s(self, calls_ms: Sequence[float]) -> float:
        """About what the proof takes beside its rounds: each row alone, the test split, the maps, the report."""
        alone_s = len(calls_ms) * _ALONE_S + _ALONE_CALLS * sum(calls_ms) / _MS_PER_S
        judging_s = self.judged * sum(calls_ms) / _MS_PER_S / _SIDE_BY_SIDE
        maps_s = expected_s(self.plan, len(calls_ms) - 1, calls_ms[0])
        return alone_s + judging_s + maps_s + _WRITING_S


def examples_of_proof(plan: Plan, test: Split, clock: Clock) -> tuple[Split, str | None]:
    """The examples of the test split that the proof judges, and a note where they are not all: drawn at random, as the
    data may be in the order of its classes."""
    if clock.judged >= len(test):
        return test, None
    places = np.random.default_rng(plan.seed).permutation(len(test))[: clock.judged]
    note = (
        f"the proof judges {clock.judged} of {len(test)} test examples, drawn at random: a search keeps "
        f"{_JUDGING:.0%} of its time for them (search.budget_s={clock.budget_s:g})"
    )
    return test.chosen(np.sort(places).tolist()), note


def plan_of_proof(plan: Plan, finalists: Sequence[Candidate], clock: Clock) -> Plan:
    """The plan of the run that proves the finalists: the reference, and each of them on its own target."""
    name, on = plan.measure.reference_for("")
    pairs = {(name, on), *((one.variant.name, one.target.name) for one in finalists)}
    left_s = clock.measuring_s()
    return replace(
        plan,
        variants={
            BASELINE: plan.variants[BASELINE],
            name: plan.variants[name],
            **{one.variant.name: one.variant for one in finalists},
        },
        targets={on: plan.targets[on], **{one.target.name: one.target for one in finalists}},
        pairs=frozenset(pairs),
        measure=replace(
            plan.measure, budget_s=left_s if plan.measure.budget_s is None else min(left_s, plan.measure.budget_s)
        ),
        default_variants=frozenset(),
        default_targets=frozenset(),
    )
