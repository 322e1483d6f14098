"""Figures with their intervals, as the results hold them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times a reference's speed or throughput, with its interval and nothing else."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """A latency quantile, a share or a rate; its interval is over rounds, None where the samples do not support one."""

    value: float
    low: float | None = None
    high: float | None = None
