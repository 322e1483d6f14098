"""The settings of a run: how it is measured, what it may take, which limits a recommended variant must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import (
    Blocks,
    Confidence,
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
    Share,
)

Scenario = Literal["SingleStream", "MultiStream", "Offline", "Server"]
CallStep = Literal["decode", "preprocess", "model", "postprocess"]
Explain = Literal["not_faster", "all", "none"]
BASELINE = "baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """The limits that a recommended variant must keep. None: no limit."""

    min_speedup: Positive | None = None
    """The least that a change must bring for sure: 1.2 is 20 % faster. The reference itself need not be faster."""
    max_accuracy_drop: Drop | None = None
    """The largest drop, as an absolute fraction: 0.01 is one point. None: 1 % of the baseline's accuracy. Of an error,
    which nothing bounds, it is a part of the baseline's: 0.01 allows a rise by 1 %."""
    max_latency_ms: Positive | None = None
    """The limit on p50."""
    max_p99_ms: Positive | None = None
    max_size_mb: Positive | None = None
    max_memory_mb: Positive | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSettings:
    """The settings of the measuring; the terms and the reasons are in docs/measurement.md."""

    profile: str = "default"
    looks: tuple[Rounds, ...] = (7, 10, 14, 20)
    """The numbers of rounds after which the widths are looked at; the last is the cap."""
    blocks: Blocks = 32
    """The number of blocks a round."""
    alpha: Level = 0.03
    """The level of every look's intervals."""
    half_width: Positive = 0.01
    """Measuring stops when every speed-up's half-width (of the log-ratio) is at most this."""
    noisy_half_width: Positive = 0.03
    cell_ms: Milliseconds = 12.0
    min_calls: Count = 3
    untimed_ms: MillisecondsFromZero = 4.0
    """How long the untimed calls at the beginning of a visit last, one call at least: the first calls find cold caches.
    0: there are none."""
    long_call_ms: Milliseconds | None = 20.0
    """From this length on a call is timed alone: one a visit, behind no untimed one, and two warm a worker up. Such a
    call fills the caches in a small share of its time, and visits that follow each other closely tell most. None: no
    call is."""
    warmup_calls: CountFromZero = 10
    warmup_ms: MillisecondsFromZero = 20.0
    start: Literal["fork", "spawn"] = "fork"
    screening: bool = False
    """Whether this is a quick look, which never says FASTER or SLOWER."""
    strict: bool = False
    """Whether 0.05, divided by the number of looks, takes the place of ``alpha``."""
    budget_s: Seconds | None = None
    """Measuring stops after the round in which this many seconds have passed."""
    reference: str | None = None
    """The ``variant@target`` that every row is compared with; None: the baseline on the row's own target."""
    price_per_hour: Positive | None = None
    deadline_ms: Milliseconds | None = None
    """The time within which a call has to end; the report then says whether enough calls do."""
    deadline_share: Share = 0.999
    """The share of calls that has to end within it."""
    peaks: bool = True
    """Whether to measure what the machine can do at best: about two seconds for each device and number of threads."""
    probe: bool = True
    """Whether a small fixed model is timed beside the rows of each device, so that runs can be compared."""
    scenarios: tuple[str, ...] = ()
    """The scenarios of MLPerf's (``Scenario``) that every row is run in, by LoadGen."""
    scenario_s: Seconds = 10.0
    """The shortest duration of each scenario."""
    server_qps: Positive | None = None
    """The mean number of queries a second in the scenario Server; their arrivals are a Poisson process."""
    server_latency_ms: Milliseconds | None = None
    """The time, waiting included, within which 99 % of Server's queries must be answered."""
    stages: tuple[CallStep, ...] = ()
    """The steps of a whole call that are timed beside the model, from the file or text to what is judged."""
    explain: Explain = "not_faster"
    """The rows that are profiled and explained: the ones that are not FASTER, all, or none."""
    map: bool = True
    """Whether each variant's graph is laid beside the baseline's, with the error in each place; not where ``explain``
    is none."""
    try_s: Seconds | None = None
    """About how long changes that the explanations propose may be tried, all together; None: none is tried."""
    energy_s: EnergySeconds | None = 5.0
    """How long a row runs back to back while an energy counter is read; None: energy is not measured."""
    busy: CountFromZero = 0
    """How many cores other processes keep busy while latencies are measured, as on a machine that does more than this.
    """
    exclusive: bool = True
    """Whether to wait until no other run measures on this machine. False: measure at once, and say so in the report."""

    def reference_for(self, target: str) -> tuple[str, str]:
        """The variant and the target that rows on ``target`` are compared with."""
        variant, _, on = (self.reference or f"{BASELINE}@{target}").partition("@")
        return variant, on

    def is_long(self, call_ms: float) -> bool:
        """Whether a call of this length is timed alone."""
        return self.long_call_ms is not None and call_ms >= self.long_call_ms

    @property
    def look_alpha(self) -> float:
        """The level of one look's intervals."""
        return 0.05 / len(self.looks) if self.strict else self.alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """The limits of a process that runs the user's model; a process that takes more is ended, and the limit is its
    reason."""

    seconds: Seconds = 1800.0
    """The longest silence of a stage, of a check of its output, or of an evaluation. Training tells of each of its
    steps, so it may last longer."""
    memory_gb: Positive | None = None
    """The most memory; None: what this machine, or the container, has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """How much worse a row may be than in an earlier run. None: that is not judged."""

    max_slowdown: NotNegative | None = 0.03
    """0.03: a call may take 3 % longer."""
    max_accuracy_drop: Drop | None = 0.01
    """The largest drop, as ``Constraints.max_accuracy_drop`` counts it."""
    max_size_growth: NotNegative | None = 0.05
    """0.05: the artifact may be 5 % larger."""
    confidence: Confidence = 0.95
    """How sure a slowdown must be, over all rows together. The intervals of accuracy are always 95 %."""
    earlier: Count = 5
    """The most earlier runs that ``--against`` takes."""
