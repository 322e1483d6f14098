"""Cuts two graphs at the tensors that both have, so that their nodes fall into matching places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.measure.map.graph import Graph


def owners(graph: Graph, places: Mapping[str, int]) -> list[int | None]:
    """The place of each node of a graph: of the tensor that it makes, or rounds; else of the first tensor that is made
    of its results. None where they lead to none. ``places`` numbers the tensors that have a place."""
    found: list[int | None] = [None] * len(graph.nodes)
    for name, place in places.items():
        rounding = graph.rounding(name)
        for node in () if rounding is None else rounding.nodes:
            found[node] = place
    for at in reversed(range(len(graph.nodes))):
        if found[at] is None:
            made = [places[name] for name in graph.nodes[at].output if name in places]
            found[at] = min(made) if made else _of_readers(graph, at, found)
    return found


def _of_readers(graph: Graph, at: int, found: Sequence[int | None]) -> int | None:
    readers = (found[reader] for name in graph.nodes[at].output for reader in graph.readers.get(name, ()))
    return min((place for place in readers if place is not None), default=None)


def edges(graph: Graph, places: Mapping[str, int], owned: Sequence[int | None]) -> list[list[int]]:
    """The places that each place reads in a graph, in order; a place never reads itself."""
    found: list[set[int]] = [set() for _ in places]
    for names, place in zip(graph.read, owned, strict=True):
        if place is not None:
            found[place] |= {places[name] for name in names if name in places} - {place}
    return [sorted(each) for each in found]
