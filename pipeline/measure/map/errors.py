"""The error in each value that two graphs share: of the whole variant up to there, and what is made just there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.proof import sqnr_db
from pipeline.data.batches import Inputs, axes_of, batch, count_of, starts
from pipeline.measure.map.cutting import GIVEN
from pipeline.measure.map.graph import Graph
from pipeline.measure.map.watching import Session, Values, Watchable
from pipeline.results.map import EQUAL_DB, Range

_LARGEST = 1e30
"""Larger values are no signal: masks have them."""


@dataclass(slots=True)
class _Sums:
    """The sums of a value over the examples."""

    signal: float = 0.0
    noise: float = 0.0
    own: float | None = None
    """The noise that is made in its own place; None where nothing is made there."""
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    """The smallest and the largest value, after each example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """What was seen of one value."""

    sqnr_db: float | None
    own_sqnr_db: float | None
    before: Range | None
    after: Range | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two graphs whose values were compared."""

    errors: Mapping[str, Errors]
    """The errors, by the name of the value."""
    reasons: Mapping[str, str]
    """Why a value that both have could not be compared."""
    floats: frozenset[str]
    """The values that are numbers with a fraction in both."""
    examples: int


def compare(reference: Watchable, variant: Watchable, feed: Inputs, limit_s: float) -> Compared:
    """Run both models on the examples of ``feed``, one call at a time, until ``limit_s`` seconds have passed, and the
    variant once more with the reference's values in front of each place.

    Raises StageFailed where a runtime can't load one, and what it raises where it can't run one.
    """
    names = [name for name in reference.graph.live if name in variant.graph.live]
    before = _Watching(reference, {name: name for name in names})
    after = _Watching(variant, {name: variant.graph.as_read(name) for name in names})
    axes = axes_of(feed)
    size = after.session.fixed_batch(axes) or before.session.fixed_batch(axes) or 1
    sums: dict[str, _Sums] = {}
    reasons: dict[str, str] = {}
    floats: frozenset[str] = frozenset()
    alone: Session | None = None
    seen = 0
    for start in starts(count_of(feed), size, limit_s):
        part = batch(feed, start, size, size)
        truth, found = before.values(part), after.values(part)
        if alone is None:
            floats = frozenset(name for name in names if _is_float(truth[name]) and _is_float(found[name]))
            reasons = {name: why for name in floats if (why := _misfit(truth[name], found[name]))}
            sums = {name: _Sums() for name in names if name in floats and name not in reasons}
            alone = variant.cut({name: found[name].dtype for name in sums})
        own = _made_alone(alone, part, truth, sums, variant.graph)
        for name, each in sums.items():
            _add(each, truth[name], found[name], own.get(name))
        seen = min(start + size, count_of(feed))
    return Compared(
        errors={name: _errors(each) for name, each in sums.items()}, reasons=reasons, floats=floats, examples=seen
    )


class _Watching:
    """A model whose values can be looked at."""

    def __init__(self, model: Watchable, values: Mapping[str, str]) -> None:
        self._read = values
        self.session = model.watched(name for name in values.values() if name not in model.graph.fed)

    def values(self, part: Values) -> dict[str, NDArray[Any]]:
        """The values of a call, by the names that they were asked by."""
        fed = self.session.fed(part)
        found = {**fed, **self.session(fed)}
        return {name: found[read] for name, read in self._read.items() if read in found}


def _made_alone(
    session: Session, part: Values, truth: Values, names: Iterable[str], variant: Graph
) -> dict[str, NDArray[Any]]:
    """What each place makes of the reference's values."""
    given = {GIVEN + name: truth[name] for name in names}
    found = session(session.fed({**part, **given}))
    return {name: found[read] for name in names if (read := variant.as_read(name)) in found}


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _misfit(before: NDArray[Any], after: NDArray[Any]) -> str | None:
    """Why two values can't be compared; None where they can."""
    if before.shape == after.shape:
        return None
    return f"it is {list(after.shape)} here and {list(before.shape)} there"


def _add(sums: _Sums, truth: NDArray[Any], found: NDArray[Any], own: NDArray[Any] | None) -> None:
    before, after = _numbers(truth), _numbers(found)
    sums.signal += float((before**2).sum())
    sums.noise += float(((before - after) ** 2).sum())
    if own is not None:
        sums.own = (sums.own or 0.0) + float(((before - _numbers(own)) ** 2).sum())
    if before.size:
        sums.before += [float(before.min()), float(before.max())]
        sums.after += [float(after.min()), float(after.max())]


def _numbers(array: NDArray[Any]) -> NDArray[np.float64]:
    """In double precision; what is not finite, or stands for that, counts as 0."""
    values = array.astype(np.float64)
    return np.where(np.abs(values) < _LARGEST, values, 0.0)


def _errors(sums: _Sums) -> Errors:
    return Errors(
        sqnr_db=_db(sums.signal, sums.noise),
        own_sqnr_db=None if sums.own is None else _db(sums.signal, sums.own),
        before=_range(sums.before),
        after=_range(sums.after),
    )


def _range(extremes: Sequence[float]) -> Range | None:
    return Range(low=min(extremes), high=max(extremes)) if extremes else None


def _db(signal: float, noise: float) -> float | None:
    """The signal above the noise, at most ``EQUAL_DB``; None where there is noise and no signal."""
    if not noise:
        return EQUAL_DB
    found = sqnr_db(signal, noise)
    return None if found is None else min(found, EQUAL_DB)
