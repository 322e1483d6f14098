"""The figures of a row, each with its interval or its verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.bounds import Counted, Difference, Nonempty, NotNegative, Positive, Share, UpperEnd, Whole
from pipeline.plan import Scenario
from pipeline.results.intervals import AccuracyVerdict, Quantile, Ratio, Unit

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
    """None in report.json where the interval has no upper end."""
    p: Share
    """After Holm's correction over all rows of the run."""
    verdict: SpeedVerdict
    blocks: Whole
    rounds: Counted | None = None
    """None in a result that was not made from samples."""
    blocks_to_settle: Whole | None = None
    """For INCONCLUSIVE: about how many blocks would settle it."""
    minimum_detectable_effect: NotNegative | None = None
    """The smallest difference that would have been found with a chance of 80 %: 0.03 is 3 %. None: not bounded."""
    with_dropped: Ratio | None = None
    """The same with the blocks that a hard event had spoilt; None where there were none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """On the test split, on the bytes and the backend that were timed. Fractions, not per cent."""

    metric: Nonempty
    """``accuracy`` or ``F1``, say; against the baseline ``agreement`` of classes, or ``cosine``."""
    value: Share
    low: Share
    """Of the 95 % interval: Wilson's of right or wrong examples, else the bootstrap's."""
    high: Share
    n: Counted
    delta: Difference | None
    """Difference to the baseline, by Tango's interval or the bootstrap's; None on the baseline itself."""
    delta_low: Difference | None
    delta_high: Difference | None
    flips: Whole | None
    """Examples whose correctness differs from the baseline's; None where a single one is neither right nor wrong."""
    p: Share | None
    """Exact McNemar, after Holm's correction."""
    margin: NotNegative | None
    """The drop that is allowed."""
    verdict: AccuracyVerdict | None
    n_to_decide: Whole | None = None
    """For UNDECIDED: about how many examples would decide."""
    unit: Unit = "percent"
    """What the figures are written in: 0.9385 is 93.85 % or 0.9385."""
    against: Literal["labels", "baseline"] = "labels"
    """What is right: the labels, or the baseline's own predictions, whose figure is then the best there is (1)."""
    sentence: str | None = None
    """What the figure says, ``{}`` in its place; None: the metric's name is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Of one call, in milliseconds."""

    p50: Quantile
    p90: Quantile
    p99: Quantile
    mean: NotNegative
    calls: Whole
    distribution_ms: list[NotNegative] = field(default_factory=list)
    """The 1st to 99th percentile, for charts."""
    deadline_misses: Quantile | None = None
    """The share of calls over ``measure.deadline_ms``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """What LoadGen says of one of MLPerf's scenarios. It is no MLPerf result: those are verified by MLCommons."""

    scenario: Scenario
    valid: bool | None
    """LoadGen's verdict; None where the scenario could not be run."""
    reasons: list[str]
    """Why it is not valid, in LoadGen's words, or why it could not be run."""
    p50_ms: NotNegative | None = None
    """Of a query's latency; a query has one example, in MultiStream eight, in Offline all."""
    p90_ms: NotNegative | None = None
    p99_ms: NotNegative | None = None
    samples_per_s: NotNegative | None = None
    queries: Whole | None = None
    late_queries: Whole | None = None
    """Server: those that took longer than ``measure.server_latency_ms``."""
    bound_held: bool | None = None
    """Server: whether 99 % of the queries kept to ``measure.server_latency_ms``."""
    logs: str | None = None
    """The folder of LoadGen's own logs, in the run's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A row against what its device can do at best. Shares are fractions of a measured peak, and may exceed 1."""

    macs_per_s: NotNegative | None
    """Multiply-accumulates a second, in the median call."""
    compute_share: NotNegative | None
    compute_peak: ProductType | Literal["mixed"] | None
    """What the peak is of; ``mixed`` for a model with products of several types."""
    bytes_per_s: NotNegative | None
    """What the model has to move at least, by the median call."""
    memory_share: NotNegative | None
    intensity: NotNegative | None
    """Multiply-accumulates per byte."""
    balance: NotNegative | None
    """The intensity at which both limits are reached together; below it memory is the nearer one."""
    verdict: LimitVerdict | None
    reason: str | None
    """Why there is no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTime:
    """Runs back to back on an accelerator, with nothing handed over: the geometric mean over the rounds, with its
    95 % interval."""

    value: Positive
    """Milliseconds, the geometric mean over the rounds."""
    low: Positive | None
    """None after a single round."""
    high: Positive | None
    enqueue_share: NotNegative
    """Of that time, what the host took to ask for the runs."""
    launch_bound: bool
    """The host takes more than four fifths of the time to ask for the runs: the device waits for it."""
