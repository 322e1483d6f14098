"""Where each candidate of a search stands, which of them is taken up next, and which are proven in the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.analyse.recommend.eligible import KEEPS_MARGIN
from pipeline.results import numbers as show
from pipeline.results.figures import Accuracy
from pipeline.results.search import Drift, Ending, ScreenedSpeed, SearchTrial
from pipeline.search.space import Candidate


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

    @property
    def key(self) -> str:
        """The candidate's key."""
        return self.candidate.key

    def end(self, ending: Ending, reason: str) -> None:
        """Take the candidate out of the race."""
        self.ending, self.reason = ending, reason

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

    def __getitem__(self, key: str) -> Standing:
        return next(standing for standing in self.standings if standing.key == key)

    def waiting(self) -> Iterator[Standing]:
        """The candidates that are to be built next. One that stands in for another waits until it is needed."""
        for standing in self.standings:
            if standing.ending is None and standing.speed is None and self._needed(standing):
                yield standing

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
        low = 1.0 if bar is None or bar.speed is None else bar.speed.low
        if high >= low:
            return None
        than = "the baseline" if bar is None else f"{bar.key}, which has at least {show.short(low)}x"
        return f"it has at most {show.short(high)}x, and can't reach {than}"

    def unjudged(self) -> list[Standing]:
        """The candidates in the race whose drift is not known, the fastest first."""
        return sorted((one for one in self.standings if one.looked_at() and one.drift is None), key=_value)[::-1]

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

    def _needed(self, standing: Standing) -> bool:
        """Whether a stand-in is wanted: the candidate that it stands in for is fast enough and drifts too far."""
        parent = standing.candidate.rescues
        if parent is None:
            return True
        other = self[parent]
        if other.speed is None or other.drift is None or _keeps(other):
            return False
        best = self.best()
        return best is None or other.speed.high > _value(best)

    def not_needed(self) -> None:
        """Say of each candidate that still waits why it was not needed. A search that is over calls it."""
        for standing in self.standings:
            parent = standing.candidate.rescues
            if standing.ending is None and standing.speed is None and parent is not None and not self._needed(standing):
                standing.end("not needed", self._why_not(self[parent]))

    def _why_not(self, parent: Standing) -> str:
        if parent.speed is None:
            return f"{parent.key} was not timed: {parent.reason}"
        if parent.drift is not None and _keeps(parent):
            return f"{parent.key} keeps the accuracy already, and this one is not faster"
        return f"{parent.key} is not fast enough, and this one is not faster"


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
