"""The findings about the four factors of inference speed, as types (a part of report.json)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import Counted, End, Nonempty, NotNegative, Whole
from pipeline.results.intervals import AccuracyVerdict, Ratio, Unit

Factor = Literal["architecture", "hardware", "software", "input"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One row on an axis."""

    label: Nonempty
    variant: Nonempty
    target: Nonempty
    batch_size: Counted
    x: float | None
    """The level's place on an ordered axis, in the axis' unit."""
    time_ms: NotNegative
    """The time of one example: the median call, divided by the batch size."""
    gain: Ratio | None
    """The speed-up over the base row; None on the base row itself."""
    step: Ratio | None
    """The speed-up over the level before it on an ordered axis."""
    parameters: Whole | None
    macs: Whole | None
    """Multiply-accumulates for one example."""
    accuracy: float | None
    accuracy_verdict: AccuracyVerdict | None
    keeps_accuracy: bool
    """Whether it is the same model as the base row's, or one whose accuracy is within the margin for sure."""
    accuracy_unit: Unit = "percent"
    note: str | None = None
    """A remark, such as that the model was not fine-tuned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elasticity:
    """The slope of log(time of an example) over log(x), with its interval: 1 is proportional, 0 is no effect."""

    value: float
    low: End
    """The lower end of the interval; None in report.json where it is not bounded."""
    high: End
    """The upper end of the interval; None in report.json where it is not bounded."""

    @property
    def doubling(self) -> Ratio:
        """The factor by which the time of an example changes when x doubles."""
        return Ratio(value=2**self.value, low=2**self.low, high=2**self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of a factor: its levels, and what follows from them."""

    factor: Factor
    name: Nonempty
    """The name, such as ``pruning``, ``threads``, ``exporter``."""
    unit: str | None
    """The unit of x on an ordered axis, such as ``MACs``; None: the levels have no order."""
    levels: list[Level]
    """The levels; where there is an order, towards what may pay. The base row is one of them."""
    elasticity: Elasticity | None
    stops_paying: str | None
    """The first level, from the base row on, after which the next step is not 2 % faster for sure; None: every step
    paid, or there is no order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """The level of a factor whose interval begins highest."""

    factor: Factor
    axis: str | None
    level: Level | None
    """The best level among those that keep the accuracy; None: no level that keeps it is faster for sure."""
    priced_axis: str | None
    priced: Level | None
    """Among the others, where one is faster still: at the price of accuracy."""
    measured: bool
    """Whether any level beside the base row was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """The four factors, each varied on its own around a base row."""

    base_variant: Nonempty
    base_target: Nonempty
    base_batch_size: Counted
    summary: Nonempty
    """A few sentences that say which factor buys most."""
    caution: str | None
    """The reason why the figures should not be relied on; None where they may be."""
    ranking: list[Bought]
    """The four factors, the one that buys most first."""
    axes: list[Axis]
    mixed: list[str]
    """The rows that differ from the base row in more than one thing, and so belong to no axis."""
