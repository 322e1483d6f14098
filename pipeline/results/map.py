"""The map: a variant's graph beside the baseline's, cut into matching places, as types.

The record has what was seen in the graphs and in their values; the analysis adds times and causes. Both have this
shape, which is that part of report.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.bounds import Nonempty, NotNegative, Whole

EQUAL_DB = 140.0
"""The largest SQNR that is told: what float32 can hold apart. It also stands for no error at all."""
UNCHANGED = ""
"""The stage of a node that is the baseline's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode:
    """A node of a graph."""

    name: str
    op: Nonempty
    """Its operator, such as ``Conv``."""
    makes: str
    """Its first result."""
    stage: str = UNCHANGED
    """The stage that wrote it as it is, or the stages, joined by ``+``; empty where it is the baseline's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The smallest and the largest value of a tensor, on the examples that the map was measured on."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPlace:
    """A tensor that both graphs have, and the nodes of each that make it from the places before.

    What rounds the tensor for its readers (QuantizeLinear and DequantizeLinear, or FakeQuantize) belongs to the place,
    whose error and range are those of the rounded tensor.
    """

    tensor: Nonempty
    block: str
    """The part of the model that it is in; empty where names say nothing and the model is small."""
    reads: list[Whole]
    """The places that it is made from, by their number from 0."""
    before: list[MapNode]
    """The baseline's nodes."""
    after: list[MapNode]
    """The variant's nodes; both are empty at an input of the model."""
    sqnr_db: float | None = None
    """The signal above the error, of the whole variant up to here, in dB; None where it can't be compared."""
    own_sqnr_db: float | None = None
    """The same where the place reads the reference's own values: the error that is made here."""
    before_range: Range | None = None
    """The range in the model that errors are taken against."""
    after_range: Range | None = None
    reason: str | None = None
    """The reason why the tensor can't be compared."""
    before_ms: NotNegative | None = None
    """The time of its kernels in a call of the baseline; None where no kernel has its name."""
    after_ms: NotNegative | None = None
    """The time of its kernels in a call of the variant."""
    kernels: list[str] = field(default_factory=list)
    """The operators that the runtime ran for it in the variant, the slowest first."""
    causes: list[Whole] = field(default_factory=list)
    """The causes that hold it back, by their number in the map's ``causes``."""

    @property
    def saved_ms(self) -> float | None:
        """The time that the variant saves here; negative where it loses. None where neither has a kernel here."""
        if self.before_ms is None and self.after_ms is None:
            return None
        return (self.before_ms or 0.0) - (self.after_ms or 0.0)

    @property
    def where(self) -> str:
        """Its tensor, behind its block where it has one: exporters give tensors names that say little."""
        return self.tensor if self.block in ("", self.tensor) else f"{self.block}: {self.tensor}"

    @property
    def stages(self) -> list[str]:
        """The stages that wrote its nodes."""
        return list(dict.fromkeys(node.stage for node in self.after if node.stage != UNCHANGED))


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantMap:
    """A variant's graph beside the baseline's."""

    variant: Nonempty
    reason: str | None = None
    """The reason why there is no map; everything else is empty then."""
    against: str = ""
    """The model that errors are taken against: ``baseline``, or the variant's own model after a stage."""
    why_no_error: str | None = None
    """The reason why no error is known; None where errors are known."""
    examples: Whole = 0
    """How many examples the errors and ranges are of."""
    places: list[MapPlace] = field(default_factory=list)
    """The places in the order of the baseline's graph."""
    target: str | None = None
    """The target of the rows whose profiles the times are of; None where the times are not known."""
    batch_size: Whole | None = None
    before_elsewhere_ms: NotNegative = 0.0
    """The time of the baseline's kernels whose names lead to no place."""
    after_elsewhere_ms: NotNegative = 0.0
    causes: list[Nonempty] = field(default_factory=list)
    """What holds the variant's row back and has a place here, with what was tried: a sentence each."""


def worst_of(places: Sequence[MapPlace]) -> MapPlace | None:
    """The place that makes the largest error itself; None where no error is known, or there is none."""
    known = [place for place in places if place.own_sqnr_db is not None and place.own_sqnr_db < EQUAL_DB]
    return min(known, key=lambda place: place.own_sqnr_db or 0.0, default=None)
