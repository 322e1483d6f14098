"""How an example comes about: what a call does with a file, a text or raw arrays before the model runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from pipeline.data.batches import Feed
from pipeline.data.dataset import Dataset, SplitName
from pipeline.data.fitted import fit_of, original

MOST = 64
"""How many examples are made at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """The steps from where an example lies to what the model reads."""

    sources: Sequence[Any]
    """Where each example lies: its file, its text or its arrays."""
    prepare: Callable[[Any], Feed]
    """From the source, or from what ``decode`` makes of it, to raw arrays [1, ...] by input."""
    from_source: bool = True
    """Whether ``prepare`` does anything; what lies there as arrays needs nothing."""
    decode: Callable[[Any], Any] | None = None
    """From a file's bytes to what ``prepare`` takes; None where there is nothing to decode."""


@runtime_checkable
class Makes(Protocol):
    """A data set that makes its examples of files or texts."""

    def making(self, name: SplitName) -> Making:
        """How the first examples of a split come about, ``MOST`` of them."""
        ...


def making_of(data: Dataset, name: SplitName) -> Making:
    """How the first examples of a split come about, to what the model reads but for its own preprocessing. Of data that
    holds arrays there is nothing to do."""
    own = original(data)
    if not isinstance(own, Makes):
        split = data.split(name)
        rows = [split.take(place, place + 1).inputs for place in range(min(len(split), MOST))]
        return Making(sources=rows, prepare=_as_it_is, from_source=False)
    made, fit = own.making(name), fit_of(data)
    return made if fit is None else replace(made, prepare=fit.after(made.prepare))


def _as_it_is(arrays: Feed) -> Feed:
    return arrays
