"""What the analysis found: the shape of report.json, as types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.explanation import Explanation
from pipeline.factor_results import Factors
from pipeline.header import Header
from pipeline.intervals import Quantile, Ratio, Unit
from pipeline.ladder_results import Ladder
from pipeline.record import StageRecord, Status

SCHEMA_VERSION = 1

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
AccuracyVerdict = Literal[
    "EQUAL", "IMPROVED", "NO MEANINGFUL DROP", "SMALL REAL DROP", "FAILS MARGIN", "DROP", "UNDECIDED"
]
LimitVerdict = Literal["compute-bound", "memory-bound", "overhead", "slow kernels", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The row that a ratio is taken against."""

    variant: str
    target: str
    batch_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Speedup:
    """How many times faster than the reference (above 1 is faster), with its interval."""

    reference: Reference
    value: float
    low: float
    high: float
    p: float
    """After Holm's correction over all rows of the run."""
    verdict: SpeedVerdict
    blocks: int
    rounds: int | None = None
    """None in a result that was not made from samples."""
    blocks_to_settle: int | None = None
    """For INCONCLUSIVE: about how many blocks would settle it."""
    minimum_detectable_effect: float | None = None
    """The smallest difference that would have been found with a chance of 80 %: 0.03 is 3 %. None: not bounded."""
    with_dropped: Ratio | None = None
    """The same with the blocks that a hard event had spoilt, where there were any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """On the test split, on the bytes and the backend that were timed. Fractions, not per cent."""

    metric: str
    """``accuracy`` or ``F1``, say; against the baseline ``agreement`` of classes, or ``cosine``."""
    value: float
    low: float
    """Of the 95 % interval: Wilson's of right or wrong examples, else the bootstrap's."""
    high: float
    n: int
    delta: float | None
    """Difference to the baseline, by Tango's interval or the bootstrap's; None on the baseline itself."""
    delta_low: float | None
    delta_high: float | None
    flips: int | None
    """Examples whose correctness differs from the baseline's; None where a single one is neither right nor wrong."""
    p: float | None
    """Exact McNemar, after Holm's correction."""
    margin: float | None
    verdict: AccuracyVerdict | None
    n_to_decide: int | None = None
    """For UNDECIDED: about how many examples would decide."""
    unit: Unit = "percent"
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
    mean: float
    calls: int
    distribution_ms: list[float] = field(default_factory=list)
    """The 1st to 99th percentile, for charts."""
    deadline_misses: Quantile | None = None
    """The share of calls over ``measure.deadline_ms``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What an inference takes of the whole processor package or graphics card; idle power is not subtracted."""

    joules_per_inference: float | None = None
    """Of one example, not of a batch."""
    watts: float | None = None
    """Mean power while the model ran back to back."""
    seconds: float | None = None
    calls: int | None = None
    source: str | None = None
    """The counter that was read."""
    reason: str | None = None
    """Why it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """What LoadGen says of one of MLPerf's scenarios. It is no MLPerf result: those are verified by MLCommons."""

    scenario: str
    valid: bool | None
    """LoadGen's verdict; None where the scenario could not be run."""
    reasons: list[str]
    """Why it is not valid, in LoadGen's words, or why it could not be run."""
    p50_ms: float | None = None
    """Of a query's latency; a query has one example, in MultiStream eight, in Offline all."""
    p90_ms: float | None = None
    p99_ms: float | None = None
    samples_per_s: float | None = None
    queries: int | None = None
    late_queries: int | None = None
    """Server: those that took longer than the bound."""
    bound_held: bool | None = None
    """Server: whether 99 % of the queries kept to the bound."""
    logs: str | None = None
    """The folder of LoadGen's own logs, in the run's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A row against what its device can do at best. Shares are fractions of a measured peak, and may exceed 1."""

    macs_per_s: float | None
    """Multiply-accumulates a second, in the median call."""
    compute_share: float | None
    compute_peak: str | None
    """What the peak is of: ``fp32``, ``int8``, or ``mixed`` for a model that has both."""
    bytes_per_s: float | None
    """What the model has to move at least, by the median call."""
    memory_share: float | None
    intensity: float | None
    """Multiply-accumulates per byte."""
    balance: float | None
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

    stages: list[str]
    variant: str
    """The variant whose chain ends here."""
    speedup: Ratio | None
    """Over the step before, the baseline at first; None where one of the two was not timed."""
    accuracy: Change | None
    """Since the step before, on the same examples; None where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTime:
    """Runs back to back on an accelerator, nothing handed over: the mean over the rounds, with its 95 % interval."""

    value: float
    low: float | None
    """None after a single round."""
    high: float | None
    enqueue_share: float
    launch_bound: bool
    """The host takes more than four fifths of the time to ask for the runs: the device waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One row: a variant on a target at a batch size."""

    target: str
    device: str
    batch_size: int
    status: Status
    reason: str | None
    load_ms: float | None = None
    first_inference_ms: float | None = None
    peak_memory_bytes: int | None = None
    peak_device_memory_bytes: int | None = None
    """Of a graphics card's memory."""
    accuracy: Accuracy | None = None
    latency_ms: Latency | None = None
    device_ms: DeviceTime | None = None
    device_reason: str | None = None
    """Why the device's own time is not known, or not of every round."""
    throughput: float | None = None
    """Examples a second."""
    speedup: Speedup | None = None
    cost_per_million: float | None = None
    energy: Energy | None = None
    """None in a record of a version that did not know it."""
    scenarios: list[ScenarioResult] = field(default_factory=list)
    pareto: bool = False
    """On the front of accuracy against latency among the rows of its target and batch size."""
    limits: Limits | None = None
    """None where the machine's peaks were not measured."""
    explanation: Explanation | None = None
    """Why it is not faster; None where that was not asked (``measure.explain``)."""
    steps: list[Step] = field(default_factory=list)
    """What each step of the chain contributes, where the run has rows between the baseline and this one."""
    remarks: list[str] = field(default_factory=list)
    """What to know of this row's figures, a sentence each without its full stop."""
    asked: bool = True
    """Whether the user named both the variant and the target; False where one of them came by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """A variant and its rows."""

    name: str
    status: Status
    reason: str | None
    stages: list[StageRecord]
    format: str | None
    digest: str | None
    """The artifact's in the store: over the names and digests of its files."""
    size_bytes: int | None
    parameters: int | None
    macs: int | None
    results: list[Result]
    weight_bytes: int | None = None
    activation_bytes: int | None = None
    """Bytes of activations read and written for one example, at least."""
    model_sha256: str | None = None
    """Of ``model.onnx`` itself, as ``sha256sum`` prints it; None for another format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One row to deploy, and why; ``next_best`` says why the runner-up lost."""

    variant: str
    target: str
    batch_size: int
    why: str
    next_best: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Whether the run's own checks passed."""

    noisy: bool
    reasons: list[str]
    clones: list[dict[str, Any]]
    """Per device: reference key, ratio, low, high."""
    telemetry: dict[str, Any]
    """Totals and shares over all blocks."""
    rounds: int
    blocks: int
    stopped: str
    seconds: float
    timed_share: float
    """Share of the measuring's wall time inside timed calls."""
    busy: list[str] = field(default_factory=list)
    """What else the machine did meanwhile, from the telemetry: a sentence each. Times are that machine's then."""
    cut: list[str] = field(default_factory=list)
    """What ``measure.budget_s`` left out, a sentence a device."""
    beside: list[str] = field(default_factory=list)
    """Who else measured on the machine at the same time, as far as that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Header):
    """Everything that the report shows."""

    summary: str
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
    margins: dict[str, float] = field(default_factory=dict)
    """The drop of accuracy that is allowed, by target: ``constraints.max_accuracy_drop``, or what stands in for it."""
    faults: list[str] = field(default_factory=list)
    """The parts that could not be made and why, a sentence each without its full stop."""
    schema_version: int = SCHEMA_VERSION
