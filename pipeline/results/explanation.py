"""Why a row is not faster: what was found in its profile. Shape of the same part of report.json, as types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.bounds import AsText, Nonempty, NotNegative, Positive, Whole
from pipeline.results.change import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a change brings: how many times as fast the row is with it as the row's reference, with the 95 % interval.

    It was tried beside the run, within ``measure.try_s``, and is no row of it; or a row of the run has the change.
    """

    variant: str | None
    """The row of this run that has the change; None: it was tried."""
    against: Nonempty
    """The reference, such as ``baseline`` and ``baseline at batch 8``."""
    value: Positive | None
    low: NotNegative | None
    high: NotNegative | None
    """None: the interval has no upper end."""
    reason: str | None = None
    """Why there is no figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that holds a row back."""

    what: Nonempty
    """A sentence with the evidence."""
    share: NotNegative | None = None
    """Of the row's call, where the cause is a part of it."""
    change: Annotated[Change, AsText()] | None = None
    """What to try, in report.json as it is typed; None: nothing is known, or this run has it."""
    outcome: Outcome | None = None
    """What the change brings; None: it was not tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """All nodes of a type, in one call."""

    op: str
    nodes: Whole
    """Of the row; 0 where only its reference has such."""
    ms: NotNegative
    reference_ms: NotNegative | None
    """None where the reference ran on another runtime, whose operators are others, or has no profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime:
    """One operator of the row, in one call."""

    name: str
    op: str
    kernel: str
    """What carried it out, as the runtime calls it, such as ``brgconv_avx512_amx_I8``; empty where it doesn't say."""
    ms: NotNegative
    reference_ms: NotNegative | None
    """Of the reference's operator of that name; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A row's profile against its reference's. Times are the profile's shares of the row's median call."""

    causes: list[Cause]
    operators: list[OperatorTime]
    """By type, those that lost most first."""
    nodes: list[NodeTime]
    """The ten that lost most; none where the row is as fast as its reference."""
    between_ms: NotNegative
    """What the call takes beside its operators."""
    reference_between_ms: NotNegative | None
    providers: dict[str, Whole]
    """Nodes by execution provider, or by the runtime where it has none."""
    reason: str | None = None
    """Why there is no profile; everything else is empty then."""
