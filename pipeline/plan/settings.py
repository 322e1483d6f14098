"""What is set of a run: how it is measured, what it may take, what a recommended variant must keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import (
    Blocks,
    Count,
    CountFromZero,
    Drop,
    EnergySeconds,
    Level,
    Milliseconds,
    MillisecondsFromZero,
    Positive,
    Rounds,
    Seconds,
)

Scenario = Literal["SingleStream", "MultiStream", "Offline", "Server"]
Explain = Literal["not_faster", "all", "none"]
BASELINE = "baseline"


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
