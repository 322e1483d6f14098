"""What a run would do, as types. Their docstrings are the descriptions in the JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pipeline.bounds import Counted, Nonempty, NotNegative, Whole
from pipeline.results.search import LeftOut
from pipeline.run.planned import PlannedStage

SCHEMA_VERSION: Final = 1
"""The version of the document: raised when a field changes its meaning or goes."""
ABOUT = "What a run would do: python -m pipeline plan [overrides] --json. Nothing of it is done."


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedVariant:
    """A variant of the run."""

    name: Nonempty
    reason: str | None
    """Why it can't be built; None where nothing is known to stand against it."""
    stages: list[PlannedStage]
    """Empty where the variant can't be built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A row of the run: a variant on a target at a batch size."""

    variant: Nonempty
    target: Nonempty
    batch_size: Counted
    asked: bool
    """Whether the user named the variant and the target."""
    reason: str | None
    """Why it will be skipped; None where it will be measured, unless building it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSearch:
    """A search, whose rows are chosen while it runs."""

    budget_s: NotNegative
    """About how long the whole run may take."""
    finalists: Counted
    candidates: list[str]
    """The candidates that would be tried, as variant@target, but for those that are drawn from ranges."""
    left_out: list[LeftOut]
    """The candidates that would not be tried, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringTime:
    """How long a run may measure, in seconds. Building, accuracy and the report take time beside it."""

    latency_s: NotNegative | None
    """The budget of the rounds: they stop after the round in which it is over. None: they have no budget."""
    scenarios_s: NotNegative
    """The least that MLPerf's scenarios take."""
    stages_s: NotNegative
    """About what timing the steps of whole calls takes, and more where a few calls take longer than a cell."""
    energy_s: NotNegative
    """The most that reading energy counters takes, where there are any."""
    tries_s: NotNegative
    """About the most that trying proposed changes takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A place that a run writes to."""

    path: Nonempty
    free_bytes: Whole


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a run would do."""

    schema_version: Literal[1] = SCHEMA_VERSION
    command: Nonempty
    """The command of the run."""
    model: Nonempty
    data: Nonempty
    metric: Nonempty
    examples: dict[str, int]
    """The examples of each split that the run reads."""
    variants: list[PlannedVariant]
    rows: list[PlannedRow]
    """Every row; empty where a search chooses them."""
    search: PlannedSearch | None
    """None where the rows are given."""
    stored: Whole
    """How many different models of the chains are in the store."""
    to_build: Whole
    """How many different models must be built."""
    measuring: MeasuringTime
    store: Disk
    output: Disk
    """The folder that the run would make."""
    notes: list[str]
    """What a reader should know, a sentence each."""
