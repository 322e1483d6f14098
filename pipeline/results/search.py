"""What a search tried, what it left out, and why, as types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.bounds import Nonempty, NotNegative, Positive, UpperEnd, Whole
from pipeline.results.intervals import AccuracyVerdict

Ending = Literal["finalist", "kept", "slower", "drifts", "failed", "not needed", "no time"]
"""Where a trial stopped.

- ``finalist``: it was proven in the run's own rounds.
- ``kept``: it was looked at to the end, and others were faster.
- ``slower``: its interval can't reach the best.
- ``drifts``: it can't keep the accuracy limit.
- ``failed``: it could not be built, loaded or run.
- ``not needed``: what it could bring was known, so it was not built.
- ``no time``: the budget ended before it was built or looked at.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedSpeed:
    """A speed-up over the run's reference as the search saw it. It chooses finalists and proves nothing."""

    value: Positive
    low: NotNegative
    high: UpperEnd
    rounds: Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The change of accuracy against the baseline on the validation split, with its 95 % interval; fractions."""

    delta: float
    low: float
    high: float
    n: Whole
    """The number of examples."""
    flips: Whole | None
    """The number of examples that are right in one of the two only; None where examples are not right or wrong."""
    margin: NotNegative
    """The drop that is allowed."""
    verdict: AccuracyVerdict
    decidable: bool
    """Whether the test split has examples enough to show that the drop is within the limit, if it stays as it is."""
    needed: Whole | None = None
    """About how many examples would show it; None where no number would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTrial:
    """A candidate that was tried, or would have been."""

    variant: Nonempty
    """The candidate's name: the variant, and what was changed in it."""
    target: Nonempty
    chain: Nonempty
    """The variant that it comes from."""
    changes: list[str]
    """The changes of that variant, as they are typed."""
    ending: Ending
    reason: str | None
    """Why it stopped there; None for a finalist."""
    speed: ScreenedSpeed | None = None
    drift: Drift | None = None
    size_bytes: Whole | None = None
    build_s: NotNegative = 0.0
    """What building it cost; 0 where its model came from the store or from another trial."""
    look_s: NotNegative = 0.0
    """Its share of the rounds in which it was timed, and the judging of its drift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A candidate that a rule left out of the space, with the rule's reason."""

    variant: Nonempty
    target: Nonempty
    reason: Nonempty


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFindings:
    """A search: its trials, in the order in which they were taken up."""

    budget_s: NotNegative
    rules: bool
    trials: list[SearchTrial]
    left_out: list[LeftOut] = field(default_factory=list)
    continued: Whole = 0
    """The number of trials that an earlier, stopped run of the same search had ended."""
    first_answer_s: NotNegative | None = None
    """When the first answer was on the terminal, in seconds from the start; None: there was none."""
    building_s: NotNegative = 0.0
    timing_s: NotNegative = 0.0
    judging_s: NotNegative = 0.0
    seconds: NotNegative = 0.0
    """The time from the start of the run to the choice of the finalists."""
