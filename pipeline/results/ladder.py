"""The findings about batch sizes, as types (a part of report.json)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen

from pipeline.bounds import Counted, Nonempty
from pipeline.results.intervals import Quantile, Ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One batch size."""

    batch_size: Counted
    throughput: Quantile
    """Examples a second, with a 95 % interval; None in place of its ends where the rounds are too few for one."""
    of_best: Ratio | None
    """The throughput as a share of the ladder's best, with its interval; None on the best itself, and where the two
    were not timed in the same rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """One variant on one target at all its batch sizes, the smallest first."""

    variant: Nonempty
    target: Nonempty
    rungs: Annotated[list[Rung], MinLen(3)]
    """The smallest batch size first."""
    best: Counted
    """The batch size with the highest throughput."""
    saturates_at: Counted | None
    """The smallest batch size that certainly comes within 5 % of the best throughput; None where only the largest one
    does."""
    perhaps_at: Counted
    """The smallest batch size that may come within 5 % of the best throughput, as far as the intervals tell."""
    noisy: bool
    """Whether the run's own checks failed on this device."""
