"""How much faster is a model than it was in another run? Pure functions of ratios, each with its error.

A run knows the ratio of a model to its anchor, which was timed in the same blocks, so that the machine's speed cancels.
What does not cancel is that two different models feel a session differently: the neighbours of a day, the core that
was idle, the memory that was handed out. So a ratio moves from run to run by more than its own interval tells. How far
it moves is believed at first, and corrected by the shifts of models that did not change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from pipeline.statistics.latency import Estimate

SESSION_SD = 0.005
"""How far the log-ratio of two models is believed to move between two runs on one machine (its standard deviation)."""
BELIEF_SHIFTS = 10.0
"""How many seen shifts that belief is worth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """The log of a speed over its anchor's in one run, with its standard error."""

    log: float
    error: float

    @staticmethod
    def of(found: Estimate, alpha: float) -> Ratio:
        """An estimate whose interval has this level. Its error is the normal one that gives the interval its length, so
        an interval that is wide because of few rounds stays so."""
        return Ratio(log=math.log(found.value), error=found.half_width / NormalDist().inv_cdf(1 - alpha / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shifts:
    """How ratios that should have stayed moved from run to run."""

    squares: float = 0.0
    """The sum of squared deviations, without what the ratios' own errors explain."""
    freedom: int = 0
    """The number of independent shifts."""

    def __add__(self, other: Shifts) -> Shifts:
        return Shifts(squares=self.squares + other.squares, freedom=self.freedom + other.freedom)

    @property
    def variance(self) -> float:
        """The variance of a run's ratio, of which ``SESSION_SD`` is believed: a scaled inverse chi-squared prior.

        Source: Gelman et al., Bayesian Data Analysis (3rd edition), section 2.6.
        """
        return (BELIEF_SHIFTS * SESSION_SD**2 + self.squares) / self.degrees

    @property
    def degrees(self) -> float:
        """The degrees of freedom of that variance."""
        return BELIEF_SHIFTS + self.freedom


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """How many times as fast a model has become."""

    estimate: Estimate
    session_share: float
    """The share of its variance that comes from run to run, and that longer runs would not take away."""


def shifts_of(rows: Sequence[Sequence[Ratio]]) -> Shifts:
    """The shifts of rows that should have stayed; each row has a ratio for every run.

    Rows of a run share their anchor and their session, so they count as one: the mean of their sums of squares.
    """
    finite = [runs for runs in rows if len(runs) > 1 and all(math.isfinite(one.error) for one in runs)]
    if not finite:
        return Shifts()
    return Shifts(squares=sum(map(_beyond_errors, finite)) / len(finite), freedom=min(len(runs) - 1 for runs in finite))


def _beyond_errors(runs: Sequence[Ratio]) -> float:
    mean = sum(one.log for one in runs) / len(runs)
    explained = sum(one.error**2 for one in runs) * (len(runs) - 1) / len(runs)
    return max(sum((one.log - mean) ** 2 for one in runs) - explained, 0.0)


def changed(
    before: Sequence[Ratio], after: Ratio, shifts: Shifts, alpha: float, *, blocks: int, rounds: int
) -> Changed:
    """The change from the mean of the earlier runs to the later one, with a t interval at level 1 - alpha.

    Its variance is that of both sides' own errors and of ``shifts`` on both sides; Welch and Satterthwaite's degrees of
    freedom take the errors as known. Unbounded where an error is. Raises ValueError without an earlier run.
    Source: Welch 1947, The generalization of "Student's" problem when several different population variances are
    involved.
    """
    from scipy.stats import t

    if not before:
        raise ValueError("there is no earlier run to compare with")
    count = len(before)
    log = after.log - sum(one.log for one in before) / count
    errors = sum(one.error**2 for one in before) / count**2 + after.error**2
    session = shifts.variance * (1 + 1 / count)
    if not math.isfinite(errors):
        estimate = Estimate(
            value=math.exp(log), low=0.0, high=math.inf, p=1.0, blocks=blocks, rounds=rounds, half_width=math.inf
        )
        return Changed(estimate=estimate, session_share=0.0)
    degrees = (errors + session) ** 2 * shifts.degrees / session**2
    error = math.sqrt(errors + session)
    reach = float(t.ppf(1 - alpha / 2, degrees)) * error
    estimate = Estimate(
        value=math.exp(log),
        low=math.exp(log - reach),
        high=math.exp(log + reach),
        p=float(2 * t.sf(abs(log) / error, degrees)),
        blocks=blocks,
        rounds=rounds,
        half_width=reach,
    )
    return Changed(estimate=estimate, session_share=session / (errors + session))
