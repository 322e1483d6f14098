"""The answers of a search, as types: not the recommendation only, but what else a user may want."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.bounds import Counted, Nonempty, Whole
from pipeline.results.intervals import Ratio

AnswerKind = Literal["fastest", "likely", "smallest", "most accurate"]
"""What a row is the answer to.

- ``fastest``: the fastest within the limits, proven: the recommendation itself.
- ``likely``: faster still, but not proven.
- ``smallest``: the smallest within the limits, proven.
- ``most accurate``: the most accurate of those that are 1.5 times as fast or more for sure, proven.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A row that answers a question, and what it comes to."""

    kind: AnswerKind
    variant: Nonempty
    target: Nonempty
    batch_size: Counted
    speedup: Ratio | None
    """Its speed-up over the run's reference; None for the reference itself."""
    sentence: Nonempty
    """The answer in words, with its full stop."""
    screened: bool = False
    """Whether only the search saw it, so that its speed-up and its accuracy prove nothing."""
    accuracy: float | None = None
    """The metric's figure on the test split; None where none is claimed."""
    size_bytes: Whole | None = None
    examples: Whole | None = None
    """About how many further test examples would decide whether it keeps the accuracy limit; None where that is not
    what is open."""
