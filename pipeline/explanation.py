"""Why a row is not faster: what was found in its profile. Shape of the same part of report.json, as types."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that holds a row back."""

    what: str
    """A sentence with the evidence."""
    share: float | None
    """Of the row's call, where the cause is a part of it."""
    change: str | None
    """What to try, as it is typed behind ``python -m pipeline``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """All nodes of a type, in one call."""

    op: str
    nodes: int
    """Of the row; 0 where only its reference has such."""
    ms: float
    reference_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTime:
    """One operator of the row, in one call."""

    name: str
    op: str
    ms: float
    reference_ms: float | None
    """Of the reference's operator of that name; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A row's profile against its reference's. Times are those of profiled calls, which take longer than others."""

    causes: list[Cause]
    operators: list[OperatorTime]
    """Those that lost most first."""
    nodes: list[NodeTime]
    """The ten that lost most."""
    between_ms: float
    """What the call takes beside its operators."""
    reference_between_ms: float
    providers: dict[str, int]
    """Nodes by execution provider."""
    reason: str | None = None
    """Why there is no profile; everything else is empty then."""
