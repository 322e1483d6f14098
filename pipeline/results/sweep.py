"""What the jobs of a sweep found, side by side, as types: the shape of sweep.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from pipeline.bounds import Counted, Nonempty, NotNegative, Sha256, Whole
from pipeline.results.figures import Accuracy, Speedup
from pipeline.results.intervals import Quantile, Unit
from pipeline.results.record import Status, subject_key

SCHEMA_VERSION: Final = 1
ABOUT: Final = (
    "What the jobs of a sweep found, side by side: sweep.json. Fractions are not per cent; sizes are bytes; times are "
    "milliseconds. A speed-up is over the baseline of its own job."
)
JobStatus = Literal["ok", "failed", "running", "stopped", "missing"]
"""``ok``: it has samples. ``stopped``: it ended before it could say why. ``missing``: it never began."""
Standing = Literal[
    "wins",
    "beaten",
    "slower",
    "not faster",
    "loses too much",
    "undecided",
    "over a limit",
    "noisy",
    "screened",
    "not compared",
    "failed",
    "skipped",
]
"""How a row stands in its job.

``wins``: it is recommended. ``beaten``: it qualifies and is faster for sure, and another row is recommended.
``slower``, ``not faster``: it qualifies and is slower, or not faster for sure. ``loses too much``: its accuracy fails
the margin.
``not compared``: the job decides on another target or batch size.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One variant on one target at one batch size in one job."""

    variant: Nonempty
    target: Nonempty
    batch_size: Counted
    status: Status
    standing: Standing
    why: str | None
    """The reasons against recommending it, or why it was not measured."""
    speedup: Speedup | None
    """None on the baseline itself."""
    accuracy: Accuracy | None
    p50_ms: Quantile | None
    size_bytes: Whole | None
    peak_memory_bytes: Whole | None
    digest: Sha256 | None
    """The artifact's digest."""

    @property
    def key(self) -> str:
        """A name such as ``static_int8@ort_cpu/1``."""
        return subject_key(self.variant, self.target, self.batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The row that a job recommends, or else the one that leads."""

    variant: Nonempty
    target: Nonempty
    batch_size: Counted
    recommended: bool
    """False: nothing is recommended, and of the rows that keep every limit this one's interval starts highest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepJob:
    """One job."""

    name: Nonempty
    """Its folder's name in the sweep's folder; of a missing job, its number."""
    settings: dict[str, str]
    """The settings that differ between the jobs, as they were typed."""
    status: JobStatus
    reason: str | None
    """The reason why it has no samples."""
    exit_code: int | None
    """None: it has none, or it was not kept."""
    repeat: str
    """The command that runs it again, into the same folder."""
    folder: Nonempty
    run: str | None = None
    """The run's id, as in its report.json; None without samples, as below."""
    created: str | None = None
    model: str | None = None
    data: str | None = None
    seed: int | None = None
    machine: str | None = None
    best: Best | None = None
    why_none: str | None = None
    """The reason why nothing is recommended."""
    checks: list[Nonempty] = field(default_factory=list)
    """What the run's own checks found against its figures, a sentence each."""
    noisy: bool = False
    rows: list[SweepRow] = field(default_factory=list)

    def row(self, key: str) -> SweepRow | None:
        """The row of this key."""
        return next((row for row in self.rows if row.key == key), None)

    @property
    def best_row(self) -> SweepRow | None:
        """The row that is recommended or leads."""
        best = self.best
        return None if best is None else self.row(subject_key(best.variant, best.target, best.batch_size))


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepChain:
    """The same variant on the same target at the same batch size in all jobs that have it."""

    variant: Nonempty
    target: Nonempty
    batch_size: Counted
    standings: dict[Standing, list[str]]
    """The jobs by how it stands in them."""
    differs: list[Nonempty]
    """The fields of its stages that are not the same in all jobs; empty where the chain is the same."""
    sentence: Nonempty
    """Where it wins and where not."""

    @property
    def key(self) -> str:
        """A name such as ``static_int8@ort_cpu/1``."""
        return subject_key(self.variant, self.target, self.batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Figures of several seeds: the least, the median, the largest. They are no interval."""

    least: float
    median: float
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSpread:
    """One row over jobs that differ in their seed only."""

    settings: dict[str, str]
    """The settings that these jobs have in common, of those that differ in the sweep."""
    variant: Nonempty
    target: Nonempty
    batch_size: Counted
    jobs: list[str]
    seeds: list[str]
    same_bytes: bool
    """Whether every seed made the same bytes, so that only the measuring differs."""
    speedup: Spread | None
    """The spread of the jobs' speed-ups; None on the baseline."""
    overlapping: bool | None
    """Whether one speed-up lies within the intervals of all jobs; None without speed-ups."""
    accuracy: Spread | None
    change: Spread | None
    """The spread of the gains over the baseline."""
    unit: Unit = "percent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Everything that a sweep's report shows."""

    folder: Nonempty
    command: str
    """The command of the sweep."""
    created: str | None
    """When its first job measured; None where none did."""
    asked: Whole | None
    """How many jobs were asked for; None where the sweeper chooses them as it goes."""
    summary: Nonempty
    varied: dict[str, list[str]]
    """The settings that differ between the jobs, with their values."""
    machines: list[str]
    notes: list[Nonempty]
    """How to read the figures, a sentence each."""
    jobs: list[SweepJob]
    chains: list[SweepChain]
    seeds: list[SeedSpread]
    faults: list[Nonempty] = field(default_factory=list)
    """The parts that could not be made, a sentence each without its full stop."""
    seconds: NotNegative | None = None
    """How long the measuring took in all jobs together."""
    schema_version: Literal[1] = SCHEMA_VERSION
