"""Adds to the map what was timed: each place's kernels in the profiles of two rows, and the causes that are told of
them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from pipeline.errors.contained import Faults
from pipeline.plan import BASELINE
from pipeline.results import numbers as show
from pipeline.results.explanation import Cause
from pipeline.results.map import MapNode, MapPlace, VariantMap
from pipeline.results.record import Record, SubjectRecord, subject_key
from pipeline.results.report import Recommendation, Result

Rows = Mapping[str, Sequence[Result]]
_MARKS = re.compile(r"_token_\d+$|[_/][^_/]*[^_/\d][^_/]*$")
"""What a runtime puts behind a node's name, or a tensor's, to name the kernel that it made of it: ``_nchwc``,
``_token_12``, ``/ConvAddFusion``. A number alone is part of the name."""


def with_times(record: Record, rows: Rows, recommendation: Recommendation | None, faults: Faults) -> list[VariantMap]:
    """The maps of a record, each with the times of one row and of the baseline's row beside it, where both have a
    profile: on the recommended target if possible."""
    subjects = {subject.key: subject for subject in record.subjects if _nodes(subject)}
    chosen = None if recommendation is None else recommendation.target
    return [
        faults.contain(f"the times on the map of {one.variant}", partial(_timed, one, subjects, rows, chosen), one)
        for one in record.maps
    ]


def _nodes(subject: SubjectRecord) -> Sequence[Mapping[str, Any]]:
    nodes: Sequence[Mapping[str, Any]] = (subject.profile or {}).get("nodes", ())
    return nodes


def _timed(one: VariantMap, subjects: Mapping[str, SubjectRecord], rows: Rows, chosen: str | None) -> VariantMap:
    pairs = [
        (row, before, after)
        for row in rows.get(one.variant, ())
        if (after := subjects.get(subject_key(one.variant, row.target, row.batch_size))) is not None
        and (before := subjects.get(subject_key(BASELINE, row.target, row.batch_size))) is not None
    ]
    if not pairs or not one.places:
        return one
    row, before, after = min(pairs, key=lambda pair: pair[0].target != chosen)
    names = partial(_Names.of, one.places)
    own = _spent(before, _call_ms(rows, before), names("before"))
    theirs = _spent(after, _call_ms(rows, after), names("after"))
    if not own.ms or not theirs.ms:  # a runtime that names no kernel after what it was made of
        return one
    told = [] if row.explanation is None else [cause for cause in row.explanation.causes if cause.nodes]
    causes = [_places_of(cause, theirs.found) for cause in told]
    places = [
        replace(
            place,
            before_ms=own.ms.get(number),
            after_ms=theirs.ms.get(number),
            kernels=theirs.slowest_first(number),
            causes=[cause for cause, touched in enumerate(causes) if number in touched],
        )
        for number, place in enumerate(one.places)
    ]
    return replace(
        one,
        places=places,
        target=row.target,
        batch_size=row.batch_size,
        before_elsewhere_ms=own.elsewhere_ms,
        after_elsewhere_ms=theirs.elsewhere_ms,
        causes=[_sentence(cause) for cause in told],
    )


def _call_ms(rows: Rows, subject: SubjectRecord) -> float | None:
    """A row's median call; None where it was not timed."""
    for row in rows.get(subject.variant, ()):
        if (row.target, row.batch_size) == (subject.target, subject.batch_size) and row.latency_ms is not None:
            return row.latency_ms.p50.value
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """The places by what kernels are named after, and the operators and sources of each."""

    places: Mapping[str, int]
    ops: Sequence[frozenset[str]]
    reads: Sequence[Sequence[int]]

    @staticmethod
    def of(places: Sequence[MapPlace], side: Literal["before", "after"]) -> _Names:
        """The names of one side's nodes, which win, and of what they make."""
        inside: list[list[MapNode]] = [getattr(place, side) for place in places]
        found: dict[str, int] = {place.tensor: number for number, place in enumerate(places)}
        nodes = [(number, node) for number, each in enumerate(inside) for node in each]
        found.update({node.makes: number for number, node in nodes if node.makes})
        found.update({node.name: number for number, node in nodes if node.name})
        return _Names(
            places=found,
            ops=[frozenset(node.op for node in each) for each in inside],
            reads=[place.reads for place in places],
        )

    def find(self, kernel: str) -> int | None:
        """The place of a kernel; None where its name leads to none."""
        name = kernel
        while name not in self.places:
            shorter = _MARKS.sub("", name)
            if shorter in (name, ""):
                return None
            name = shorter
        return self.places[name]

    def begun(self, place: int, op: str, taken: Collection[int]) -> int:
        """The place where a kernel begins: one that is named after its last node, a Relu, begins with the Conv before
        it, after which no kernel (``taken``) is named."""
        if op in self.ops[place]:
            return place
        sources = [source for source in self.reads[place] if op in self.ops[source] and source not in taken]
        return sources[0] if len(sources) == 1 else place


@dataclass(slots=True)
class _Spent:
    """A call's time, by place."""

    ms: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    kernels: dict[int, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    """The time and the operator of each place's kernels."""
    found: dict[str, int] = field(default_factory=dict)
    """The place of each kernel, by its name."""
    elsewhere_ms: float = 0.0

    def slowest_first(self, place: int) -> list[str]:
        """The operators that ran for a place."""
        return list(dict.fromkeys(op for _, op in sorted(self.kernels.get(place, ()), reverse=True)))


def _spent(subject: SubjectRecord, call_ms: float | None, names: _Names) -> _Spent:
    """The profile as parts of the row's median call."""
    whole = (subject.profile or {}).get("call_ms")
    factor = call_ms / whole if call_ms and whole else 1.0
    named = {node["name"]: names.find(node["name"]) for node in _nodes(subject)}
    taken = {place for place in named.values() if place is not None}
    spent = _Spent()
    for node in _nodes(subject):
        place = named[node["name"]]
        if place is None:
            spent.elsewhere_ms += node["ms"] * factor
            continue
        place = names.begun(place, node["op"], taken)
        spent.ms[place] += node["ms"] * factor
        spent.kernels[place].append((node["ms"], node.get("kernel") or node["op"]))
        spent.found[node["name"]] = place
    return spent


def _places_of(cause: Cause, found: Mapping[str, int]) -> set[int]:
    return {found[name] for name in cause.nodes if name in found}


def _sentence(cause: Cause) -> str:
    return " ".join(_parts(cause))


def _parts(cause: Cause) -> Iterator[str]:
    yield f"{cause.what}."
    if cause.change is not None:
        yield f"Try: {cause.change}."
    outcome = cause.outcome
    if outcome is not None and outcome.value is not None and outcome.low is not None:
        where = "It was tried:" if outcome.variant is None else f"In this run {outcome.variant} has"
        yield f"{where} {show.ratio(outcome.value, outcome.low, outcome.high)} of the speed of {outcome.against}."
