"""What changed from one run to another, as types: the shape of comparison.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pipeline.bounds import Counted, Nonempty, NotNegative, Positive, Share, UpperEnd, Whole
from pipeline.plan import GateRules
from pipeline.results.figures import SpeedVerdict
from pipeline.results.intervals import AccuracyVerdict, Unit
from pipeline.results.record import Status, subject_key

SCHEMA_VERSION: Final = 1
ABOUT: Final = (
    "What changed between runs: comparison.json. Fractions are not per cent; sizes are bytes; times are milliseconds. "
    "'before' is the earlier run, 'after' the one that is compared with it."
)
Anchor = Literal["baseline", "probe"]
"""What a row is timed against in each run: its baseline, or the fixed model where the baseline itself has changed."""
Outcome = Literal["KEPT", "REGRESSION", "INCONCLUSIVE"]
Judged = Literal["row", "speed", "accuracy", "size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One of the runs."""

    folder: Nonempty
    created: str
    command: str
    model: str
    data: str
    slimline: dict[str, Any]
    """The program that measured: version, commit and changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A setting, a version or a fact of the machine that is not the same in both runs."""

    name: Nonempty
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What the machine did between the runs, by models that did not change."""

    device: Nonempty
    speed: dict[str, Positive]
    """How many times as fast each of these models ran in the later run, by key."""
    session_sd: NotNegative
    """How far a ratio of two models is taken to move from run to run by itself (standard deviation of its log)."""
    seen: Whole
    """The number of shifts that were seen in these runs and that this figure rests on, beside what is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedChange:
    """How many times as fast a row has become, with its 95 % interval, or at the level that the gate asks for."""

    anchor: Anchor | None
    """What the row was timed against in each run; None where nothing fixed is in both."""
    value: Positive
    low: NotNegative
    high: UpperEnd
    """The upper end of the interval; None in comparison.json where it has none."""
    p: Share
    """The p-value of "nothing has changed", after Holm's correction over all rows."""
    verdict: SpeedVerdict
    before_ms: NotNegative
    """The median call of the earlier run, of the latest one where there are several."""
    after_ms: NotNegative
    runs: Counted
    """The number of earlier runs that the row was compared with."""
    session_share: Share
    """The share of the interval's variance that more blocks would not take away."""
    blocks: Whole
    """The number of the later run's blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyChange:
    """The change of a row's figure, below 0 is worse, with its 95 % interval. Fractions, not per cent."""

    metric: Nonempty
    before: float
    after: float
    delta: float
    low: float
    high: float
    n: Counted
    flips: Whole | None
    """The number of examples that became right or wrong; None where a single example is neither, or none is paired."""
    p: Share | None
    margin: NotNegative
    """The drop that is allowed."""
    verdict: AccuracyVerdict
    paired: bool
    """Whether both runs judged the same examples, so that each is compared with itself."""
    n_to_decide: Whole | None = None
    """About how many examples would decide an UNDECIDED verdict."""
    unit: Unit = "percent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Bytes before and after."""

    before: Whole
    after: Whole

    @property
    def growth(self) -> float:
        """The growth as a share of what was before: 0.05 is 5 % more."""
        return self.after / self.before - 1 if self.before else float(self.after > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One row: a variant on a target at a batch size, in both runs."""

    variant: Nonempty
    target: Nonempty
    batch_size: Counted
    before: Status | None
    """Its status in the earlier run; None: it is not in it."""
    after: Status | None
    reason: str | None = None
    """The reason why the later run has no figures of it."""
    is_anchor: bool = False
    """Whether other rows are held against it in both runs, as its bytes are the same: the gate does
    not judge its speed."""
    chain: list[str] = field(default_factory=list)
    """What has changed in the variant's chain, a line each; empty where its bytes are the same."""
    speed: SpeedChange | None = None
    no_speed: str | None = None
    """The reason why the speeds are not compared."""
    accuracy: AccuracyChange | None = None
    no_accuracy: str | None = None
    """The reason why the accuracies are not compared."""
    size: Amount | None = None
    memory: Amount | None = None

    @property
    def key(self) -> str:
        """A name such as ``static_int8@ort_cpu/1``."""
        return subject_key(self.variant, self.target, self.batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule on one row."""

    row: Nonempty
    judged: Judged
    outcome: Outcome
    why: Nonempty
    settle: str | None = None
    """What would settle an INCONCLUSIVE one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What the gate says of all rows: REGRESSION where one check says so, else INCONCLUSIVE where one does."""

    outcome: Outcome
    rules: GateRules
    checks: list[Check]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that a comparison shows."""

    before: list[RunFacts]
    """The earlier runs, the latest first."""
    after: RunFacts
    same_machine: bool
    notes: list[str]
    """How to read the comparison, a sentence each."""
    differences: list[Difference]
    drift: list[Drift]
    rows: list[RowChange]
    gate: GateResult | None = None
    """None where no gate was asked for."""
    schema_version: Literal[1] = SCHEMA_VERSION
