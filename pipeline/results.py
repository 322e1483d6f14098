"""What the analysis found: the shape of report.json, as types."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipeline.record import Status

SCHEMA_VERSION = 1

SpeedVerdict = Literal[
    "NOISY", "FASTER", "SLOWER", "SLIGHTLY FASTER", "SLIGHTLY SLOWER", "SAME", "INCONCLUSIVE", "SCREENED"
]
AccuracyVerdict = Literal["IMPROVED", "NO MEANINGFUL DROP", "SMALL REAL DROP", "FAILS MARGIN", "DROP", "UNDECIDED"]


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
    blocks_to_settle: int | None = None
    """For INCONCLUSIVE: about how many blocks would settle it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """On the test split, on the bytes and the backend that were timed. Fractions, not per cent."""

    metric: str
    """``accuracy``, or ``agreement`` with the baseline where there are no labels."""
    value: float
    low: float
    """Wilson's 95 % interval."""
    high: float
    n: int
    delta: float | None
    """Difference to the baseline; None on the baseline itself."""
    delta_low: float | None
    delta_high: float | None
    flips: int | None
    """Examples whose correctness differs from the baseline's."""
    p: float | None
    """Exact McNemar, after Holm's correction."""
    margin: float | None
    verdict: AccuracyVerdict | None
    n_to_decide: int | None = None
    """For UNDECIDED: about how many examples would decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A latency quantile; its interval is over rounds, None where the samples do not support one."""

    value: float
    low: float | None = None
    high: float | None = None


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
    accuracy: Accuracy | None = None
    latency_ms: Latency | None = None
    throughput: float | None = None
    """Examples a second."""
    speedup: Speedup | None = None
    cost_per_million: float | None = None
    pareto: bool = False
    """On the front of accuracy against latency among the rows of its target and batch size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantResult:
    """A variant and its rows."""

    name: str
    status: Status
    reason: str | None
    stages: list[dict[str, Any]]
    """Each a StageRecord as plain values."""
    format: str | None
    digest: str | None
    size_bytes: int | None
    parameters: int | None
    macs: int | None
    results: list[Result]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that the report shows."""

    command: str
    created: str
    model: str
    data: str
    seed: int
    machine: dict[str, Any]
    constraints: dict[str, Any]
    measure: dict[str, Any]
    targets: dict[str, dict[str, Any]]
    summary: str
    """The outcome in one or two sentences."""
    recommendation: Recommendation | None
    why_none: str | None
    """Where nothing is recommended: what each candidate failed."""
    noise: Noise
    variants: list[VariantResult]
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the order of report.json."""
        plain = asdict(self)
        return {"schema_version": plain.pop("schema_version"), **plain}
