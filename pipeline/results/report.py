"""The findings of the analysis, as types: the shape of report.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from annotated_types import MinLen

from pipeline.artifact import Format
from pipeline.bounds import Counted, Nonempty, NotNegative, Sha256, Share, Whole
from pipeline.results.answers import Answer
from pipeline.results.explanation import Explanation
from pipeline.results.factors import Factors
from pipeline.results.figures import Accuracy, DeviceTime, Latency, Limits, ScenarioResult, Speedup, WholeCall
from pipeline.results.flips import Flips
from pipeline.results.header import Header, Machine
from pipeline.results.intervals import Ratio
from pipeline.results.ladder import Ladder
from pipeline.results.map import VariantMap
from pipeline.results.record import Energy, StageRecord, Status

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference of accuracies, or of mean likenesses to the baseline's output, with its 95 % interval; fractions."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The change that a chain's next stage makes; several stages where no row of the run stands between them."""

    stages: Annotated[list[str], MinLen(1)]
    """Several where no row of the run stands between them."""
    variant: Nonempty
    """The variant whose chain ends here."""
    speedup: Ratio | None
    """The speed-up over the step before, the baseline at first; None where one of the two was not timed."""
    accuracy: Change | None
    """The change of accuracy since the step before, on the same examples; None where it is not known."""


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
    """The memory that the row takes of a graphics card."""
    accuracy: Accuracy | None = None
    latency_ms: Latency | None = None
    device_ms: DeviceTime | None = None
    device_reason: str | None = None
    """The reason why the device's own time is not known, or not for every round."""
    throughput: NotNegative | None = None
    """The throughput in examples a second."""
    speedup: Speedup | None = None
    """The speed-up; None on the reference itself."""
    cost_per_million: NotNegative | None = None
    energy: Energy | None = None
    """The energy; None in a record of a version that did not know it."""
    scenarios: list[ScenarioResult] = field(default_factory=list)
    """MLPerf's scenarios, where they were asked for (``measure.scenarios``)."""
    call: WholeCall | None = None
    """The whole call, step by step, where that was asked for (``measure.stages``)."""
    pareto: bool = False
    """Whether the row is on the front of accuracy against latency among the rows of its target and batch size; of its
    batch size where a search chose the rows, since all are compared with one row then."""
    limits: Limits | None = None
    """The machine's limits; None where its peaks were not measured."""
    explanation: Explanation | None = None
    """The explanation why it is not faster; None where that was not asked (``measure.explain``)."""
    steps: list[Step] = field(default_factory=list)
    """What each step of the chain contributes; empty where the run has no rows between the baseline and this one."""
    remarks: list[Nonempty] = field(default_factory=list)
    """Remarks on this row's figures, a sentence each without its full stop."""
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
    """The artifact's digest in the store, over the names and digests of its files."""
    size_bytes: Whole | None
    parameters: Whole | None
    macs: Whole | None
    """Multiply-accumulates for one example."""
    results: list[Result]
    weight_bytes: Whole | None = None
    activation_bytes: Whole | None = None
    """Bytes of activations read and written for one example, at least."""
    model_sha256: Sha256 | None = None
    """The sha256 of ``model.onnx`` itself, as ``sha256sum`` prints it; None for another format."""


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
    """The clone of each device: reference key, ratio, low, high."""
    telemetry: dict[str, Any]
    """Totals and shares over all blocks."""
    rounds: Whole
    blocks: Whole
    stopped: str
    seconds: NotNegative
    timed_share: Share
    """The share of the measuring's wall time inside timed calls."""
    busy: list[str] = field(default_factory=list)
    """Signs in the telemetry that the machine was busy, a sentence each. Times are times of a busy machine then."""
    warmer: list[str] = field(default_factory=list)
    """Whether the machine grew warm meanwhile, where the system tells its temperature."""
    cut: list[str] = field(default_factory=list)
    """The parts that ``measure.budget_s`` left out, a sentence a device."""
    beside: list[str] = field(default_factory=list)
    """The runs that measured on the machine at the same time, as far as that is known."""


def at(target: str, machine: str) -> str:
    """A target of another machine as it is called beside this one's."""
    return f"{target}@{machine}"


def is_here(target: str) -> bool:
    """Whether a target of a report is this machine's own."""
    return "@" not in target


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Another machine's run of the same models, whose rows stand beside this run's; nothing is compared across."""

    name: Nonempty
    """The machine's name: its targets are called ``target@name``."""
    machine: Machine
    created: str
    summary: Nonempty
    recommendation: Recommendation | None
    """The row to deploy there; its target is called as on that machine."""
    why_none: str | None
    noise: Noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Header):
    """Everything that the report shows."""

    summary: Nonempty
    """The outcome in one or two sentences."""
    recommendation: Recommendation | None
    why_none: str | None
    """The reasons why nothing is recommended: what each candidate failed."""
    noise: Noise
    variants: list[VariantResult]
    factors: Factors | None = None
    """What each of the four factors of speed contributes; None unless the run varied one thing at a time."""
    ladders: list[Ladder] = field(default_factory=list)
    """Each variant on each target that was timed at three batch sizes or more."""
    margins: dict[str, NotNegative] = field(default_factory=dict)
    """The drop of accuracy that is allowed, by target: ``constraints.max_accuracy_drop``, or its default."""
    answers: list[Answer] = field(default_factory=list)
    """The answers of a search, where they differ; empty where the run had none."""
    flips: list[Flips] = field(default_factory=list)
    """What each row answers differently than the baseline; empty without labels, and for a metric that does not judge
    one class an example."""
    maps: list[VariantMap] = field(default_factory=list)
    """Each variant's graph beside the baseline's; empty where that was not asked (``measure.map``)."""
    elsewhere: list[Elsewhere] = field(default_factory=list)
    """The nodes of a cluster that the run measured on, and the machines that kits were run on, where their samples were
    joined to this run's (``report --join``)."""
    faults: list[Nonempty] = field(default_factory=list)
    """The parts that could not be made, and why, a sentence each without its full stop."""
    schema_version: Literal[1] = SCHEMA_VERSION
