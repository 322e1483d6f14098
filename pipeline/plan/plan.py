"""The core types of a run. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.bounds import (
    BatchSize,
    NotNegative,
    Seed,
)
from pipeline.data.dataset import Dataset
from pipeline.plan.execution import Execution
from pipeline.plan.metric import Metric
from pipeline.plan.search import SearchSettings
from pipeline.plan.settings import BASELINE, Constraints, MeasureSettings, RunLimits
from pipeline.plan.source import ModelSource
from pipeline.plan.stage import Variant
from pipeline.plan.target import Target
from pipeline.plan.tracking import Tracking
from pipeline.store.place import StorePlace

Grid = Literal["all", "one_at_a_time"]


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
    store: StorePlace
    store_max_gb: NotNegative
    output: Path
    command: str
    grid: Grid = "all"
    """The rows of the run: ``all``, every variant on every target at every batch size; ``one_at_a_time``, rows that
    differ from the base row (the baseline on the first target at the first batch size) in at most one of the three."""
    limits: RunLimits = field(default_factory=RunLimits)
    default_variants: frozenset[str] = frozenset()
    """The variants that nobody named: they are in the run by default."""
    default_targets: frozenset[str] = frozenset()
    search: SearchSettings | None = None
    """The search for the best among the variants and targets; None: every one of them is measured."""
    tracking: Tracking | None = None
    """Where the finished run is sent; None: it stays in its folder only."""
    execution: Execution | None = None
    """Where the models are built; None: here, one after another."""
    licences: Mapping[str, str] = field(default_factory=dict)
    """The licences of the ``model`` and the ``data``, where the user has named them."""
    pairs: frozenset[tuple[str, str]] | None = None
    """The variants and targets whose rows are measured; None: every variant on every target."""

    @property
    def searched(self) -> SearchSettings:
        """The settings of the plan's search; raises ValueError where it has none."""
        if self.search is None:
            raise ValueError("the plan has no search")
        return self.search

    def asked(self, variant: str, target: str) -> bool:
        """Whether the user named both; the baseline counts as named."""
        return variant not in self.default_variants and target not in self.default_targets

    def has_row(self, variant: str, target: str, batch_size: int) -> bool:
        """Whether the run has this row."""
        if self.pairs is not None and (variant, target) not in self.pairs:
            return False
        base = (BASELINE, next(iter(self.targets)), self.batch_sizes[0])
        changed = sum(here != there for here, there in zip((variant, target, batch_size), base, strict=True))
        return self.grid == "all" or changed <= 1
