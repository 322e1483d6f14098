"""What the analysis found: the shape of report.json, as types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from annotated_types import MinLen

from pipeline.artifact import Format
from pipeline.bounds import Counted, Difference, Nonempty, NotNegative, Positive, Sha256, Share, UpperEnd, Whole
from pipeline.plan import Scenario
from pipeline.results.explanation import Explanation
from pipeline.results.factors import Factors
from pipeline.results.header import Header
from pipeline.results.intervals import AccuracyVerdict, Quantile, Ratio, Unit
from pipeline.results.ladder import Ladder
from pipeline.results.record import Energy, StageRecord, Status

SCHEMA_VERSION: Final = 1

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
class Change:
    """A difference of accuracies, or of mean likenesses to the baseline's output, with its 95 % interval; fractions."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a chain's next stage changes; several stages where no row of the run stands between them."""

    stages: Annotated[list[str], MinLen(1)]
    """Several where no row of the run stands between them."""
    variant: Nonempty
    """The variant whose chain ends here."""
    speedup: Ratio | None
    """Over the step before, the baseline at first; None where one of the two rows was not timed."""
    accuracy: Change | None
    """Since the step before, on the same examples; None where it is not known."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row: a variant on a target at a batch size."""

    target: Nonempty
    device: Nonempty
    batch_size: Counted
    status: Status
    reason: str | None
    load_ms: NotNegative | None = None
    first_inference_ms: NotNegative | None = None
    peak_memory_bytes: Whole | None = None
    peak_device_memory_bytes: Whole | None = None
    """Of a graphics card's memory."""
    accuracy: Accuracy | None = None
    latency_ms: Latency | None = None
    device_ms: DeviceTime | None = None
    device_reason: str | None = None
    """Why the device's own time is not known, or not of every round."""
    throughput: NotNegative | None = None
    """Examples a second."""
    speedup: Speedup | None = None
    """None on the reference itself."""
    cost_per_million: NotNegative | None = None
    energy: Energy | None = None
    """None in a record of a version that did not know it."""
    scenarios: list[ScenarioResult] = field(default_factory=list)
    """MLPerf's scenarios, where they were asked for (``measure.scenarios``)."""
    pareto: bool = False
    """On the front of accuracy against latency among the rows of its target and batch size."""
    limits: Limits | None = None
    """None where the machine's peaks were not measured."""
    explanation: Explanation | None = None
    """Why it is not faster; None where that was not asked (``measure.explain``)."""
    steps: list[Step] = field(default_factory=list)
    """What each step of the chain contributes; empty where the run has no rows between the baseline and this one."""
    remarks: list[Nonempty] = field(default_factory=list)
    """What to know of this row's figures, a sentence each without its full stop."""
    asked: bool = True
    """Whether the user named both the variant and the target; False where one of them came by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """A variant and its rows."""

    name: Nonempty
    status: Status
    reason: str | None
    stages: list[StageRecord]
    format: Format | None
    digest: Sha256 | None
    """The artifact's in the store: sha256 over the names and digests of its files."""
    size_bytes: Whole | None
    parameters: Whole | None
    macs: Whole | None
    """Multiply-accumulates for one example."""
    results: list[Result]
    weight_bytes: Whole | None = None
    activation_bytes: Whole | None = None
    """Bytes of activations read and written for one example, at least."""
    model_sha256: Sha256 | None = None
    """Of ``model.onnx`` itself, as ``sha256sum`` prints it; None for another format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One row to deploy, and why; never one that is NOISY, UNDECIDED, failed or only screened."""

    variant: Nonempty
    target: Nonempty
    batch_size: Counted
    why: str
    next_best: str | None
    """Why the runner-up lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Whether the run's own checks passed."""

    noisy: bool
    reasons: list[str]
    clones: list[dict[str, Any]]
    """Per device: the ratio of a hidden copy of the reference to the reference, as reference (its key), ratio, low and
    high."""
    telemetry: dict[str, Any]
    """Totals and shares over all blocks."""
    rounds: Whole
    blocks: Whole
    stopped: str
    seconds: NotNegative
    timed_share: Share
    """Share of the measuring's wall time inside timed calls."""
    busy: list[str] = field(default_factory=list)
    """What else the machine did meanwhile, from the telemetry, a sentence each: times are those of a busy machine
    then."""
    cut: list[str] = field(default_factory=list)
    """What ``measure.budget_s`` left out, a sentence a device."""
    beside: list[str] = field(default_factory=list)
    """Who else measured on the machine at the same time, as far as that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Header):
    """Everything that the report shows."""

    summary: Nonempty
    """The outcome in one or two sentences."""
    recommendation: Recommendation | None
    why_none: str | None
    """Where nothing is recommended: what each candidate failed."""
    noise: Noise
    variants: list[VariantResult]
    factors: Factors | None = None
    """What each of the four factors of speed contributes; None unless the run varied one thing at a time."""
    ladders: list[Ladder] = field(default_factory=list)
    """Each variant on each target that was timed at three batch sizes or more."""
    margins: dict[str, NotNegative] = field(default_factory=dict)
    """The drop of accuracy that is allowed, by target, as a fraction: ``constraints.max_accuracy_drop``, or 1 % of the
    baseline's accuracy."""
    faults: list[Nonempty] = field(default_factory=list)
    """The parts that could not be made and why, a sentence each without its full stop."""
    schema_version: Literal[1] = SCHEMA_VERSION
