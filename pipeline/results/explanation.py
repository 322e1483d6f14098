"""Why a row is not faster: the findings from its profile, as types. They have the shape of that part of report.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pipeline.bounds import AsText, Nonempty, NotNegative, Positive, Whole
from pipeline.results.change import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The speed that a change brings: how many times as fast the row is with it as the row's reference, with the 95 %
    interval.

    The change was tried beside the run, within ``measure.try_s``, and is no row of the run; or another row of the run
    has it.
    """

    variant: str | None
    """The row of this run that has the change; None: the change was tried."""
    against: Nonempty
    """The name of the reference, such as ``baseline`` and ``baseline at batch 8``."""
    value: Positive | None
    low: NotNegative | None
    high: NotNegative | None
    """The upper end of the interval; None: it has none."""
    reason: str | None = None
    """The reason why there is no figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that holds a row back."""

    what: Nonempty
    """A sentence with the evidence."""
    share: NotNegative | None = None
    """The share of the row's call, where the cause is a part of it."""
    change: Annotated[Change, AsText()] | None = None
    """The change to try, which report.json has as it is typed; None: none is known, or this run has it."""
    outcome: Outcome | None = None
    """The outcome of the change; None: it was not tried."""
    nodes: list[str] = field(default_factory=list)
    """The operators that it is about, by the runtime's names; empty where it is about the whole call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """The time of all nodes of a type, in one call."""

    op: str
    nodes: Whole
    """How many nodes of this type the row has; 0 where only its reference has any."""
    ms: NotNegative
    reference_ms: NotNegative | None
    """The reference's time; None where the reference has no profile, or ran on another runtime, whose operators have
    other names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime:
    """The time of one operator of the row, in one call."""

    name: str
    op: str
    kernel: str
    """The runtime's name for the kernel that carried it out, such as ``brgconv_avx512_amx_I8``; empty where the runtime
    does not say."""
    ms: NotNegative
    reference_ms: NotNegative | None
    """The time of the reference's operator of that name; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A row's profile against its reference's. Times are the profile's shares of the row's median call."""

    causes: list[Cause]
    operators: list[OperatorTime]
    """The operators by type, the one that lost most first."""
    nodes: list[NodeTime]
    """The ten nodes that lost most; none where the row is as fast as its reference."""
    between_ms: NotNegative
    """The time of a call that passes beside its operators."""
    reference_between_ms: NotNegative | None
    providers: dict[str, Whole]
    """The number of nodes by execution provider, or by the runtime where it has none."""
    reason: str | None = None
    """The reason why there is no profile; everything else is empty then."""
