"""The settings of a search: how long it may take, what it varies, and how many candidates it proves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import MinLen

from pipeline.bounds import Count, CountFromZero, Seconds

Values = Annotated[tuple[Any, ...], MinLen(1)]
Range = tuple[float, float]
Fields = Mapping[str, Mapping[str, Values]]
"""Values by stage and field."""
Choices = Mapping[str, Fields]
"""Values by variant, stage and field, as they are typed: ``{static_int8: {quantize: {symmetric: [true]}}}``."""
Ranges = Mapping[str, Mapping[str, Mapping[str, Range]]]
"""The lowest and the highest value, by variant, stage and field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """The settings of a search among the variants, their fields and the targets of a plan."""

    budget_s: Seconds = 600.0
    """About how long the whole run may take: building, looking and confirming."""
    finalists: Count = 3
    """The number of candidates that are timed anew and judged on the test split."""
    rules: bool = True
    """Whether the rules leave out what can't pay; False: everything that can be built is tried."""
    examples: Count = 5000
    """The most validation examples that a candidate's drift is judged on."""
    choices: Choices = field(default_factory=dict)
    """Other values of fields, each a candidate of its own: it may be faster than the chain as it is."""
    rescues: Choices = field(default_factory=dict)
    """Other values of fields that are tried where a chain is fast enough and drifts too far."""
    rescue_chains: Mapping[str, Values] = field(default_factory=dict)
    """Variants that are tried only where the variant that they are listed under is fast enough and drifts too far."""
    sessions: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    """Other settings of a target's session, by target and setting: tried for the fastest chains only."""
    ranges: Ranges = field(default_factory=dict)
    """Fields that are numbers. They are sampled where a chain is fast enough and drifts too far."""
    samples: CountFromZero = 4
    """The most samples of the ranges of one chain on one target."""
