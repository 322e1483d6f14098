"""Where each candidate of a search stands, which of them is taken up next, and which are proven in the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.analyse.recommend.eligible import KEEPS_MARGIN
from pipeline.plan import BASELINE
from pipeline.plan.hints import loads_slowly
from pipeline.results import numbers as show
from pipeline.results.figures import Accuracy
from pipeline.results.search import Drift, Ending, ScreenedSpeed, SearchTrial
from pipeline.search.building import BuildTimes
from pipeline.search.space import Candidate

if TYPE_CHECKING:
    import optuna

SAME_MODEL = "it is the same model as"
"""How the reason begins of a candidate whose model runs already in the same place."""
_LEADS = 0.97
"""A chain is among the fastest from this share of the best one's speed on."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """A candidate, and what is known of it so far."""

    candidate: Candidate
    digest: str | None = None
    """The digest of its model; None before it is built."""
    speed: ScreenedSpeed | None = None
    drift: Drift | None = None
    ending: Ending | None = None
    """Where it stopped; None: it is in the race, or waits."""
    reason: str | None = None
    size_bytes: int | None = None
    build_s: float = 0.0
    look_s: float = 0.0
    judged: bool = False
    """Whether its drift was asked for, be it known or not."""
    drawn: bool = False
    """Whether it is a sample of ranges."""
    sample: optuna.trial.Trial | None = None
    """The sample, as long as the journal waits for its outcome."""

    @property
    def key(self) -> str:
        """The candidate's key."""
        return self.candidate.key

    def end(self, ending: Ending, reason: str) -> None:
        """Take the candidate out of the race."""
        self.ending, self.reason = ending, reason

    def take_up(self, trial: SearchTrial) -> None:
        """Take what an earlier run of the same search has seen."""
        self.speed, self.drift, self.size_bytes = trial.speed, trial.drift, trial.size_bytes
        self.build_s, self.look_s = trial.build_s, trial.look_s
        self.judged, self.reason = True, trial.reason
        if trial.ending != "kept":
            self.end(trial.ending, trial.reason or trial.ending)

    def looked_at(self) -> bool:
        """Whether it is still in the race, and was timed."""
        return self.ending is None and self.speed is not None

    def trial(self) -> SearchTrial:
        """The candidate as a record keeps it."""
        candidate = self.candidate
        return SearchTrial(
            variant=candidate.variant.name,
            target=candidate.target.name,
            chain=candidate.chain,
            changes=[str(change) for change in candidate.changes],
            ending=self.ending or "kept",
            reason=self.reason,
            speed=self.speed,
            drift=self.drift,
            size_bytes=self.size_bytes,
            build_s=self.build_s,
            look_s=self.look_s,
        )


def drift_of(accuracy: Accuracy, tested: int) -> Drift | None:
    """A candidate's drift, from its accuracy on validation examples; None where it can't be compared.

    ``tested`` is the number of examples of the test split, which decides whether a drift can be shown to be small.
    """
    low, high, margin, verdict = accuracy.delta_low, accuracy.delta_high, accuracy.margin, accuracy.verdict
    if accuracy.delta is None or low is None or high is None or margin is None or verdict is None:
        return None
    needed = examples_to_decide(accuracy.delta, low, margin, accuracy.n)
    return Drift(
        delta=accuracy.delta,
        low=low,
        high=high,
        n=accuracy.n,
        flips=accuracy.flips,
        margin=margin,
        verdict=verdict,
        decidable=verdict in KEEPS_MARGIN or (needed is not None and needed <= tested),
        needed=needed,
    )


def examples_to_decide(delta: float, low: float, margin: float, n: int) -> int | None:
    """About how many examples put the lower end of a drift's interval above the limit, if the drift stays as it is.

    An interval shrinks with the square root of the examples. None where no number would do.
    """
    room, reach = margin + delta, delta - low
    return math.ceil(n * (reach / room) ** 2) if room > 0 else None


@dataclass(slots=True, kw_only=True)
class Board:
    """All candidates of a search, in the order in which they are taken up."""

    standings: list[Standing] = field(default_factory=list)
    built: set[str] = field(default_factory=set)
    """The names of the variants whose model is there."""
    times: BuildTimes = field(default_factory=BuildTimes)

    def __getitem__(self, key: str) -> Standing:
        return next(one for one in self.standings if one.key == key)

    def waiting(self) -> list[Standing]:
        """The candidates that are to be built next, those first whose model is there already: another runtime costs no
        time to build, and is often the largest step. Then comes what is built soon, and then what is slow to build.
        In each of these, other values of a chain's fields come behind the chains as they are. What compiles for long
        when it is loaded comes behind all that, and settings of sessions when all else is done.

        A rescue of the fastest chain that drifts comes before all else that is built as soon: nobody knows yet whether
        the other chains are fast. The rescues behind it have their turn once it was looked at. For the same reason
        other values of the fastest chain's fields come before all that is still to be built.
        """
        wanted = [one for one in self.standings if one.ending is None and one.speed is None and self._needed(one)]
        first = [one for one in wanted if one.candidate.when != "leads"] or wanted
        turns = sorted(first, key=self._turn)
        leading: dict[tuple[bool, ...], str] = {}
        for rescue in sorted(filter(self._rescues, turns), key=self._hope, reverse=True):
            leading.setdefault(self._turn(rescue)[:-1], rescue.key)
        return sorted(turns, key=lambda one: (self._turn(one)[:-1], one.key not in leading.values()))

    def _turn(self, standing: Standing) -> tuple[bool, ...]:
        """The kinds that it is of, from the one that matters most; False comes first."""
        candidate = standing.candidate
        loads, is_built = loads_slowly(candidate.target), candidate.variant.name in self.built
        led = is_built or self._is_of_the_fastest(standing)
        return loads, not is_built, not led, self.times.is_slow(candidate.variant), bool(candidate.changes)

    def _is_of_the_fastest(self, standing: Standing) -> bool:
        """Whether it is a choice of the chain that is the fastest for sure: other values of its fields, not a sample.
        Where that is the baseline, its runtime is fast and not its chain."""
        candidate = standing.candidate
        if not candidate.changes or standing.drawn or candidate.after is not None:
            return False
        best = self.bar()
        if best is None or best.candidate.chain == BASELINE:
            return False
        return (best.candidate.chain, best.candidate.target) == (candidate.chain, candidate.target)

    def _rescues(self, standing: Standing) -> bool:
        return standing.candidate.when == "drifts" and self._before(standing) is not None

    def _hope(self, standing: Standing) -> float:
        """How fast a rescue may be: as fast as what it rescues."""
        before = self._before(standing)
        return 0.0 if before is None else _value(before)

    def bar(self) -> Standing | None:
        """The fastest for sure of those that keep the limit; None: nothing is faster than the baseline for sure."""
        sure = [one for one in self.standings if _keeps(one) and one.speed is not None and one.speed.low > 1]
        return max(sure, key=_low, default=None)

    def best(self) -> Standing | None:
        """The fastest, as far as it was seen, of those that keep the limit."""
        return max((one for one in self.standings if _keeps(one)), key=_value, default=None)

    def overtaken(self, high: float) -> str | None:
        """Why a candidate whose interval ends at ``high`` is out of the race; None where it is not."""
        bar = self.bar()
        low = 1.0 if bar is None else _low(bar)
        if high >= low:
            return None
        than = "the baseline" if bar is None else f"{bar.key}, which has at least {show.short(low)}x"
        return f"it has at most {show.short(high)}x, and can't reach {than}"

    def unjudged(self) -> list[Standing]:
        """The candidates in the race whose drift was not judged, the fastest first."""
        return sorted((one for one in self.standings if one.looked_at() and not one.judged), key=_value)[::-1]

    def judged(self) -> list[Standing]:
        """The candidates in the race whose drift was judged."""
        return [one for one in self.standings if one.looked_at() and one.judged]

    def twin(self, standing: Standing) -> str | None:
        """The key of another candidate that runs the same model on the same target."""
        others = (one for one in self.standings if one is not standing and one.digest == standing.digest)
        return next((one.key for one in others if one.candidate.target == standing.candidate.target), None)

    def finalists(self, count: int) -> list[Standing]:
        """The candidates to prove: the fastest of those that the test split can decide, and the fastest of all where
        it may be too small for that."""
        ranked = sorted((one for one in self.standings if one.looked_at() and _may_keep(one)), key=_value)[::-1]
        decided = [one for one in ranked if _keeps(one)]
        likely = [one for one in ranked if not _keeps(one)]
        ahead = [one for one in likely[:1] if not decided or _value(one) > _value(decided[0])]
        chosen = [*decided[: count - len(ahead)], *ahead]
        chosen += [one for one in ranked if one not in chosen][: count - len(chosen)]
        return sorted(chosen, key=_value)[::-1]

    def wants_rescue(self, standing: Standing) -> bool:
        """Whether a candidate is fast enough, and drifts too far or too far to be decided."""
        if standing.speed is None or standing.drift is None or standing.drift.decidable:
            return False
        best = self.best()
        return best is None or standing.speed.high > _value(best)

    def close(self, why: str) -> None:
        """End the candidates that still wait: they were not needed, or ``why`` says it."""
        for standing in self.standings:
            if standing.ending is not None or standing.speed is not None:
                continue
            before = self._before(standing)
            if before is None or self._needed(standing):
                standing.end("no time", why)
            else:
                standing.end("not needed", self._why_not(standing, before))

    def _before(self, standing: Standing) -> Standing | None:
        """The candidate that must have been looked at before; None where it waits for none that is in the search."""
        after = standing.candidate.after
        return next((one for one in self.standings if one.key == after), None)

    def _needed(self, standing: Standing) -> bool:
        before = self._before(standing)
        if before is None:
            return True
        if standing.candidate.when == "drifts":
            return self.wants_rescue(before)
        best = self.best()
        return best is not None and _keeps(before) and _value(before) >= _LEADS * _value(best)

    def _why_not(self, standing: Standing, before: Standing) -> str:
        if before.speed is None:
            return f"{before.key} was not timed: {before.reason}"
        if standing.candidate.when == "leads":
            return f"{before.key} is not among the fastest"
        if before.drift is not None and before.drift.decidable:
            return f"{before.key} keeps the accuracy already, and this one is not faster"
        return f"{before.key} is not fast enough, and this one is not faster"


def _keeps(standing: Standing) -> bool:
    """Whether the test split can show that its drift is within the limit."""
    return standing.ending in (None, "finalist") and standing.drift is not None and standing.drift.decidable


def _may_keep(standing: Standing) -> bool:
    drift = standing.drift
    return drift is None or drift.delta > -drift.margin


def _value(standing: Standing) -> float:
    return 0.0 if standing.speed is None else standing.speed.value


def _low(standing: Standing) -> float:
    return 0.0 if standing.speed is None else standing.speed.low
