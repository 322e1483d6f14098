"""The figures of a row, each with its interval or its verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.bounds import Counted, Nonempty, NotNegative, Positive, Share, UpperEnd, Whole
from pipeline.plan import CallStep, Scenario
from pipeline.results.intervals import AccuracyVerdict, Quantile, Ratio, Unit, gain_sign

SpeedVerdict = Literal[
    "NOISY",
    "FASTER",
    "SLOWER",
    "FASTER, not confirmed",
    "SLOWER, not confirmed",
    "SLIGHTLY FASTER",
    "SLIGHTLY SLOWER",
    "SAME",
    "INCONCLUSIVE",
    "SCREENED",
]
ProductType = Literal["fp32", "tf32", "fp16", "int8"]
LimitVerdict = Literal["compute-bound", "memory-bound", "overhead", "slow kernels", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The row that a ratio is taken against."""

    variant: Nonempty
    target: Nonempty
    batch_size: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Speedup:
    """How many times faster than the reference (above 1 is faster), with its interval."""

    reference: Reference
    value: Positive
    low: NotNegative
    high: UpperEnd
    """The upper end of the interval; None in report.json where it has none."""
    p: Share
    """The p-value after Holm's correction over all rows of the run."""
    verdict: SpeedVerdict
    blocks: Whole
    rounds: Counted | None = None
    """The number of rounds; None in a result that was not made from samples."""
    blocks_to_settle: Whole | None = None
    """About how many blocks would settle an INCONCLUSIVE verdict; None for others."""
    minimum_detectable_effect: NotNegative | None = None
    """The smallest difference that would have been found with a chance of 80 %: 0.03 is 3 %. None: not bounded."""
    with_dropped: Ratio | None = None
    """The same with the blocks that a hard event had spoilt, where there were any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The accuracy on the test split, of the bytes and the backend that were timed. Fractions, not per cent."""

    metric: Nonempty
    """The metric's name: ``accuracy`` or ``F1``, say; against the baseline ``agreement`` of classes, or ``cosine``."""
    value: float
    low: float
    """The lower end of the 95 % interval: Wilson's for examples that are right or wrong, else the bootstrap's."""
    high: float
    n: Counted
    delta: float | None
    """The gain over the baseline, with Tango's interval or the bootstrap's: below 0 is worse, also where less of the
    figure is better. None on the baseline itself."""
    delta_low: float | None
    delta_high: float | None
    flips: Whole | None
    """The number of examples whose correctness differs from the baseline's; None where a single one is neither right
    nor wrong."""
    p: Share | None
    """The p-value of the exact McNemar test, after Holm's correction."""
    margin: NotNegative | None
    """The drop that is allowed."""
    verdict: AccuracyVerdict | None
    n_to_decide: Whole | None = None
    """About how many examples would decide an UNDECIDED verdict; None for others."""
    labels_to_decide: Whole | None = None
    """About how many labels, of examples that it answers differently than the baseline, would show that no more than
    the margin is lost; None where all examples have labels, where no verdict waits for them, and where all of these
    examples would not be enough."""
    labelled_flips: Whole | None = None
    """How many of the examples that it answers differently have labels, where only such have any: ``delta`` is then the
    gain of accuracy, and ``value`` the agreement with the baseline."""
    unit: Unit = "percent"
    """The unit in which the figures are written: 0.9385 is 93.85 % or 0.9385."""
    against: Literal["labels", "baseline"] = "labels"
    """The truth: the labels, or the baseline's own predictions, whose figure is then the best there is (1)."""
    sentence: str | None = None
    """The sentence of the figure, with ``{}`` in its place; None: the metric's name is enough."""

    @property
    def merit(self) -> float:
        """The figure where more of it is better, else its negative: the largest is the best."""
        return gain_sign(self.unit) * self.value

    @property
    def before(self) -> float | None:
        """The baseline's figure; None where it is not known."""
        if self.delta is None or self.labelled_flips is not None:
            return None
        return self.value - gain_sign(self.unit) * self.delta


DeadlineVerdict = Literal["IN TIME", "LATE", "NOT KNOWN"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """Whether enough calls ended within ``measure.deadline_ms``."""

    verdict: DeadlineVerdict
    """IN TIME: the whole interval of the misses is within what ``measure.deadline_share`` leaves. LATE: all of it is
    beyond."""
    longest_ms: NotNegative
    """The longest call of all."""
    calls_to_settle: Counted | None
    """About how many calls would tell, with the same share of misses; None where the verdict does, and where no number
    of calls would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The latency of one call, in milliseconds."""

    p50: Quantile
    p90: Quantile
    p99: Quantile
    mean: NotNegative
    calls: Whole
    distribution_ms: list[NotNegative] = field(default_factory=list)
    """The 1st to 99th percentile, for charts."""
    deadline_misses: Quantile | None = None
    """The share of calls over ``measure.deadline_ms``."""
    deadline: Deadline | None = None
    """Whether enough calls ended in time; None where none is asked for, and in a record's report of earlier times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """LoadGen's result for one of MLPerf's scenarios. It is no MLPerf result: MLCommons verifies those."""

    scenario: Scenario
    valid: bool | None
    """LoadGen's verdict; None where the scenario could not be run."""
    reasons: list[str]
    """The reasons why it is not valid, in LoadGen's words, or why it could not be run."""
    p50_ms: NotNegative | None = None
    """The median latency of a query; a query has one example, in MultiStream eight, in Offline all."""
    p90_ms: NotNegative | None = None
    p99_ms: NotNegative | None = None
    samples_per_s: NotNegative | None = None
    queries: Whole | None = None
    late_queries: Whole | None = None
    """In Server, the number of queries that took longer than the bound."""
    bound_held: bool | None = None
    """In Server, whether 99 % of the queries kept to the bound."""
    logs: str | None = None
    """The folder of LoadGen's own logs, in the run's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """One step of a whole call."""

    step: CallStep
    ms: NotNegative
    """Milliseconds for one example, the median over the blocks."""
    share: Ratio
    """The share of the call, with its interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeCall:
    """A whole call: from the file or text of an example to what is judged."""

    ms: NotNegative
    """Milliseconds for one example, the median over the blocks."""
    steps: list[StepTime]
    """The steps in the order in which a call takes them, the model among them."""
    reference: Reference
    speedup: Ratio | None = None
    """How many times as fast the whole call is as the reference's; None on the reference itself."""
    model_speedup: Ratio | None = None
    """How many times as fast the model is within the call."""

    def step(self, name: CallStep) -> StepTime | None:
        """A step; None where it was not timed."""
        return next((found for found in self.steps if found.step == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A row against what its device can do at best. Shares are fractions of a measured peak, and may exceed 1."""

    macs_per_s: NotNegative | None
    """Multiply-accumulates a second, in the median call."""
    compute_share: NotNegative | None
    compute_peak: ProductType | Literal["mixed"] | None
    """The name of the peak: ``fp32``, ``int8``, or ``mixed`` for a model that has both."""
    bytes_per_s: NotNegative | None
    """The bytes that the model has to move at least, divided by the median call."""
    memory_share: NotNegative | None
    intensity: NotNegative | None
    """Multiply-accumulates per byte."""
    balance: NotNegative | None
    """The intensity at which both limits are reached together; below it memory is the nearer one."""
    verdict: LimitVerdict | None
    reason: str | None
    """The reason why there is no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTime:
    """Runs back to back on an accelerator, with nothing handed over: the geometric mean over the rounds, with its
    95 % interval."""

    value: Positive
    """Milliseconds, the geometric mean over the rounds."""
    low: Positive | None
    """The lower end of the interval; None after a single round."""
    high: Positive | None
    enqueue_share: NotNegative
    """The share of that time in which the host asked for the runs."""
    launch_bound: bool
    """Whether the host takes more than four fifths of the time to ask for the runs, so that the device waits for it."""

    def share_of(self, call_ms: float) -> float:
        """The share of a call of ``call_ms`` in which the device works; in the rest inputs and outputs are handed
        over."""
        return self.value / call_ms
