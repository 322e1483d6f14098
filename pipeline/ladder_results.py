"""What the analysis found about batch sizes, as types (a part of report.json)."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.intervals import Quantile, Ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One batch size."""

    batch_size: int
    throughput: Quantile
    """Examples a second."""
    of_best: Ratio | None
    """The throughput as a share of the ladder's best; None on the best itself, and where the two were not timed in the
    same rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """One variant on one target at all its batch sizes, the smallest first."""

    variant: str
    target: str
    rungs: list[Rung]
    best: int
    """The batch size with the highest throughput."""
    saturates_at: int | None
    """The smallest batch size that certainly comes within 5 % of the best; None where only the largest one does."""
    perhaps_at: int
    """The smallest one that may come within 5 % of the best, as far as the intervals tell."""
    noisy: bool
    """Whether the run's own checks failed on this device."""
