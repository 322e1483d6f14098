"""The core types: what a run is made of. No I/O here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.bounds import (
    BatchSize,
    Blocks,
    Count,
    CountFromZero,
    Drop,
    EnergySeconds,
    Level,
    Milliseconds,
    MillisecondsFromZero,
    NotNegative,
    Positive,
    Rounds,
    Seconds,
    Seed,
    Threads,
)
from pipeline.data.batches import Inputs
from pipeline.data.dataset import Dataset, Feed, SplitName, preprocess, sample_of
from pipeline.data.preprocessing import Preprocessing
from pipeline.plan.roles import Role

Device = Literal["cpu", "cuda"]
Grid = Literal["all", "one_at_a_time"]
Scenario = Literal["SingleStream", "MultiStream", "Offline", "Server"]
Explain = Literal["not_faster", "all", "none"]
BASELINE = "baseline"


class Session(Protocol):
    """A loaded model."""

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        """Run one batch to the end (synchronised) and return the outputs in the model's order."""
        ...


class Resident(Protocol):
    """A batch that lies on an accelerator, to be run there again and again."""

    def enqueue(self) -> None:
        """Ask for one run; returns as soon as the device has been told."""
        ...

    def wait(self) -> None:
        """Return once the device has done all that it was asked for."""
        ...


@runtime_checkable
class Enqueuing(Protocol):
    """A session that can run without handing inputs and outputs over."""

    def resident(self, feed: Feed) -> Resident:
        """Copy a batch to the device."""
        ...


class Backend(Protocol):
    """A runtime. Frozen dataclasses, so that a worker process can be handed one."""

    name: ClassVar[str]
    runs: ClassVar[Format]
    forkable: ClassVar[bool]
    """Whether a process that has preloaded the runtime, and made no session yet, may be forked."""

    def check(self, target: Target) -> None:
        """Raise BackendUnavailable, with the reason, where this machine can't run the target."""
        ...

    def preload(self, target: Target) -> None:
        """Import what the target needs, and touch no accelerator (before a fork, and before load time is measured)."""
        ...

    def load(self, artifact: Artifact, target: Target) -> Session:
        """Load a model for a target; raises BackendUnavailable, never falls back."""
        ...


@runtime_checkable
class Waking(Protocol):
    """A backend whose device keeps a state for each process, which takes time to make whatever the model."""

    def wake(self, target: Target) -> None:
        """Make it: after a fork, which such a state would not live through, and before load time is measured."""
        ...


@runtime_checkable
class Profiler(Protocol):
    """A backend that can tell where a call's time goes."""

    def profile(self, artifact: Artifact, target: Target, feed: Feed, calls: int) -> dict[str, Any]:
        """Run a model so often and tell, as plain values: ``calls``, ``call_ms`` (mean), ``nodes`` (each with name, op,
        provider, type of its first input, ms a call, and kernel where the runtime names what carried it out) and
        ``channels`` (of each convolution's output)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a variant is timed. What changes the session and not the model belongs here."""

    name: str
    backend: Backend
    device: Device = "cpu"
    threads: Threads = 1
    session: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How many times as fast as a reference, with its 95 % interval."""

    value: float
    low: float
    high: float


class Comparison(Protocol):
    """How a stage measures."""

    def __call__(self, candidates: Mapping[str, Artifact], reference: Artifact) -> dict[str, Speed]:
        """Time ONNX models beside a reference, in the same rounds, on the plan's first target that runs them; raises
        Skipped where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a stage may use beside its source."""

    data: Dataset
    preprocessing: Mapping[str, Preprocessing]
    metric: Metric
    compare: Comparison
    """A stage that uses it has a class variable ``measures = True``: its output belongs to this machine."""
    original: Callable[[], Artifact]
    """The model that the chain starts from, to learn from. A stage that uses it has ``uses_original`` (True, or a
    property): two chains may come to the same source from different models."""
    seed: int
    work: Path
    """A folder of this stage's own that outlives a stopped run (for checkpoints); emptied when the stage is done."""
    progress: Callable[[float, str], None]
    """Say the share done (0 to 1) and a few words."""
    note: Callable[[str, Any], None]
    """Keep a fact (plain JSON values) in the store beside the output; the report shows it."""
    isa: frozenset[str]
    """Instruction sets of this processor, such as ``avx2`` and ``avx512_vnni``."""
    override: str = "variants.NAME.stages.NAME"
    """What an override of this stage's fields begins with on the command line."""

    def feed(self, split: SplitName, limit: int | None = None) -> Inputs:
        """The split's first ``limit`` examples (all by default), preprocessed: an array [N, ...] per input."""
        examples = self.data.split(split)
        return preprocess(examples.take(0, limit if limit is not None else len(examples)).inputs, self.preprocessing)

    def sample(self, limit: int) -> Inputs:
        """Examples to compare models on: of the calibration split, of the test split where there is none."""
        return preprocess(sample_of(self.data, limit).inputs, self.preprocessing)


@runtime_checkable
class Stage(Protocol):
    """One step of a variant's chain: a frozen, keyword-only dataclass. Its fields are its YAML and its cache key."""

    role: ClassVar[Role]
    """What it changes. A stage may leave it out: ``role_of`` tells then what can be told from the rest."""
    accepts: ClassVar[frozenset[Format]]
    produces: ClassVar[Format]
    version: ClassVar[int]
    """Raise it when the same fields give other bytes than before."""
    reads: ClassVar[frozenset[SplitName]]
    """The splits it reads: their digests go into the cache key."""
    libraries: ClassVar[tuple[str, ...]]
    """The distributions whose versions go into the cache key."""
    tolerance: ClassVar[float | None]
    """Largest difference to its source, relative to the source's largest output, for an exact stage; None for a lossy
    one, whose drift is recorded."""

    def __call__(self, source: Artifact, out: Path, context: Context) -> None:
        """Write the output into the empty folder ``out``; raises StageFailed, or Skipped with the reason."""
        ...


def role_of(stage: Stage) -> Role | None:
    """What a stage changes; None where it does not say. A lossless stage from PyTorch to ONNX is an export."""
    exports = stage.produces == "onnx" and "torch" in stage.accepts and stage.tolerance is not None
    return getattr(stage, "role", "export" if exports else None)


def is_export(stage: Stage) -> bool:
    """Whether a stage turns a PyTorch model into ONNX and changes nothing else."""
    return role_of(stage) == "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A named chain of stages, applied in order to the model."""

    name: str
    stages: Mapping[str, Stage]
    devices: tuple[Device, ...] = ("cpu", "cuda")
    """Where it is measured; elsewhere its row is skipped, saying so."""


@dataclass(frozen=True, slots=True)
class InputSignature:
    """One input of a model: sizes with None where any will do, and NumPy's name of the type.

    The shape is None where the model declares none.
    """

    shape: tuple[int | None, ...] | None
    dtype: str
    batch_axis: int | None = 0
    """The axis that counts the examples; None: one value serves a whole call."""


class ModelSource(Protocol):
    """Where the baseline comes from."""

    @property
    def name(self) -> str:
        """A short name for the report."""
        ...

    @property
    def format(self) -> Format:
        """What ``write`` writes."""
        ...

    @property
    def preprocessing(self) -> Mapping[str, Preprocessing]:
        """What is done to raw inputs, by input name."""
        ...

    def key(self) -> Mapping[str, Any]:
        """Plain values that identify the model (file digests, arguments); raises UserError where files are missing."""
        ...

    def signature(self) -> Mapping[str, InputSignature]:
        """The inputs, in the model's order; raises UserError where the model can't be read."""
        ...

    def write(self, out: Path) -> Mapping[str, Any]:
        """Write the model as an artifact of ``format`` into the empty folder ``out``, and return what is to be noted of
        it (plain values): what was changed on the way."""
        ...


class Metric(Protocol):
    """How an output is judged, example by example.

    A metric may have more:

    - ``judging``: how predictions are judged, and in which unit (``pipeline.metrics.Judging``);
    - ``output``: the place of the output that it reads, 0 without;
    - ``fitted``: from the model's outputs by name, the metric for this model and a note or None;
    - ``classes``: how many classes there are.
    """

    name: ClassVar[str]

    def predictions(self, outputs: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """From the model's outputs for a batch of N, the examples first, one prediction an example.

        Their type says how they are judged, unless the metric has a ``judging``. Whole numbers are classes, right or
        wrong: [N], or [N, ...] for several an example, of which the share that is right counts. They are held against
        labels of that shape, else against the baseline's. Other numbers are vectors [N, D], judged by their cosine to
        the baseline's.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a recommended variant must keep. None: no limit."""

    min_speedup: Positive | None = None
    """The least that a change must bring for sure: 1.2 is 20 % faster. The reference itself need not be faster."""
    max_accuracy_drop: Drop | None = None
    """Absolute fraction: 0.01 is one point. None: 1 % of the baseline's accuracy."""
    max_latency_ms: Positive | None = None
    """Limit on p50."""
    max_p99_ms: Positive | None = None
    max_size_mb: Positive | None = None
    max_memory_mb: Positive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSettings:
    """How latency is measured; the terms and the reasons are in docs/measurement.md."""

    profile: str = "default"
    looks: tuple[Rounds, ...] = (7, 10, 14, 20)
    """Rounds after which the widths are looked at; the last is the cap."""
    blocks: Blocks = 32
    """Blocks a round."""
    alpha: Level = 0.03
    """Level of every look's intervals."""
    half_width: Positive = 0.01
    """Stop when every speed-up's half-width (of the log-ratio) is at most this."""
    noisy_half_width: Positive = 0.03
    cell_ms: Milliseconds = 12.0
    min_calls: Count = 3
    untimed_ms: MillisecondsFromZero = 4.0
    """A visit begins with untimed calls, one at least, until they took this long: the first calls find cold caches.
    0: there are none."""
    warmup_calls: CountFromZero = 10
    warmup_ms: MillisecondsFromZero = 20.0
    start: Literal["fork", "spawn"] = "fork"
    screening: bool = False
    """A quick look: never says FASTER or SLOWER."""
    strict: bool = False
    """Divide 0.05 by the number of looks instead of taking ``alpha``."""
    budget_s: Seconds | None = None
    """Stop measuring after the round in which this many seconds have passed."""
    reference: str | None = None
    """``variant@target`` to compare every row with; None: the baseline on the row's own target."""
    price_per_hour: Positive | None = None
    deadline_ms: Milliseconds | None = None
    peaks: bool = True
    """Measure what the machine can do at best: about two seconds for each device and number of threads."""
    scenarios: tuple[str, ...] = ()
    """Which of MLPerf's scenarios (``Scenario``) every row is run in, by LoadGen."""
    scenario_s: Seconds = 10.0
    """How long each scenario lasts at least."""
    server_qps: Positive | None = None
    """Queries a second on average, in the scenario Server; their arrivals are a Poisson process."""
    server_latency_ms: Milliseconds | None = None
    """What 99 % of Server's queries must keep to, waiting included."""
    explain: Explain = "not_faster"
    """Which rows are profiled and explained: those that are not FASTER, all, or none."""
    try_s: Seconds | None = None
    """About how long changes that the explanations propose may be tried, all together; None: none is tried."""
    energy_s: EnergySeconds | None = 5.0
    """How long a row runs back to back while an energy counter is read; None: energy is not measured."""
    exclusive: bool = True
    """Wait until no other run measures on this machine. False: measure at once, and say so in the report."""

    def reference_for(self, target: str) -> tuple[str, str]:
        """The variant and the target that rows on ``target`` are compared with."""
        variant, _, on = (self.reference or f"{BASELINE}@{target}").partition("@")
        return variant, on

    @property
    def look_alpha(self) -> float:
        """The level of one look's intervals."""
        return 0.05 / len(self.looks) if self.strict else self.alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What a process may take that runs the user's model; one that takes more is ended, and that is its reason."""

    seconds: Seconds = 1800.0
    """How long nothing may be heard of a stage, of a check of its output, or of an evaluation. Training tells of each
    of its steps, so it may last longer."""
    memory_gb: Positive | None = None
    """None: what this machine, or the container, has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole run, ready to be checked and carried out."""

    model: ModelSource
    data: Dataset
    metric: Metric
    variants: Mapping[str, Variant]
    targets: Mapping[str, Target]
    batch_sizes: tuple[BatchSize, ...]
    measure: MeasureSettings
    constraints: Constraints
    seed: Seed
    store: Path
    store_max_gb: NotNegative
    output: Path
    command: str
    grid: Grid = "all"
    """Which rows there are: ``all``, every variant on every target at every batch size; ``one_at_a_time``, those that
    differ from the base row (the baseline on the first target at the first batch size) in at most one of the three."""
    limits: RunLimits = RunLimits()
    default_variants: frozenset[str] = frozenset()
    """Variants that nobody named: they are in the run by default."""
    default_targets: frozenset[str] = frozenset()

    def asked(self, variant: str, target: str) -> bool:
        """Whether both were named by the user; the baseline always is."""
        return variant not in self.default_variants and target not in self.default_targets

    def has_row(self, variant: str, target: str, batch_size: int) -> bool:
        """Whether the grid has this row."""
        base = (BASELINE, next(iter(self.targets)), self.batch_sizes[0])
        changed = sum(here != there for here, there in zip((variant, target, batch_size), base, strict=True))
        return self.grid == "all" or changed <= 1
