"""Puts the places of a graph into blocks: by the parts of the model that nodes are named after, or by where the graph
is narrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.measure.map.graph import Graph

if TYPE_CHECKING:
    import onnx

MOST_BLOCKS = 40
"""So many can be looked at together."""
FEWEST_INSIDE = 2.0
"""Fewer places in a block, on average, are not worth unfolding it."""
_DEEPEST = 8
_NAMESPACE = "namespace"
"""PyTorch's exporter writes the path of a node's module there."""
_NOWHERE = "_empty_nn_module_stack"
"""What it writes there for a node that belongs to no module."""
Scope = tuple[str, ...]


def blocks(graph: Graph, tensors: Sequence[str], owned: Sequence[int | None]) -> list[str]:
    """The block of each place of a graph; ``owned`` has the place of each node. All are in one block without a name
    where the model is small and its names say nothing."""
    scopes = _scopes(graph, len(tensors), owned)
    names = _named(scopes)
    return _narrowed(graph, tensors) if names is None else names


def _scopes(graph: Graph, count: int, owned: Sequence[int | None]) -> list[Scope]:
    """The longest path that a place's nodes are named by. A place that has none lies where the one before it does, and
    those at the beginning where the first one does that has a path."""
    found: list[Scope] = [()] * count
    for node, place in zip(graph.nodes, owned, strict=True):
        if place is not None:
            found[place] = max(found[place], _scope(node), key=len)
    known = next((scope for scope in found if scope), ())
    for place in range(count):
        known = found[place] = found[place] or known
    return found


def _scope(node: onnx.NodeProto) -> Scope:
    """The path of the module that a node belongs to: as the exporter says, or as the node's name or a weight's does."""
    for entry in node.metadata_props:
        if entry.key == _NAMESPACE:
            path = [part.partition(":")[0] for part in entry.value.split("/")][-2:-1]
            return _path([part for part in path if not part.startswith(_NOWHERE)])
    if "/" in node.name:
        return _path(node.name.split("/")[:-1])
    dotted = [_path(name.split(".")[:-1]) for name in node.input if "." in name]
    return max(dotted, key=len, default=())


def _path(parts: Sequence[str]) -> Scope:
    return tuple(piece for part in parts for piece in part.strip().split(".") if piece)


def _named(scopes: Sequence[Scope]) -> list[str] | None:
    """The blocks as names tell them, of the deepest level that is still to be looked at together; None where they tell
    none."""
    best: list[str] | None = None
    for depth in range(1, _DEEPEST + 1):
        names = [".".join(scope[:depth]) for scope in scopes]
        count = len(set(names))
        if 1 < count <= MOST_BLOCKS and (best is None or len(names) >= FEWEST_INSIDE * count):
            best = names
    return best


def _narrowed(graph: Graph, tensors: Sequence[str]) -> list[str]:
    """Blocks that end where a single value goes on, as far as there are such places; else blocks of equal length."""
    count = len(tensors)
    longest = -(-count // MOST_BLOCKS)
    if longest < FEWEST_INSIDE:
        return [""] * count
    ends, begin = [], 0
    narrow = _narrow(graph, tensors)
    for place in range(count):
        long = place - begin + 1
        if place == count - 1 or long >= 2 * longest or (long >= longest and place in narrow):
            ends.append(place)
            begin = place + 1
    names: list[str] = []
    for end in ends:
        first = tensors[len(names)]
        name = first if len(names) == end else f"{first} … {tensors[end]}"
        names += [name] * (end + 1 - len(names))
    return names


def _narrow(graph: Graph, tensors: Sequence[str]) -> set[int]:
    """The places whose value is the only one that later nodes read."""
    numbers = {name: place for place, name in enumerate(tensors)}
    made = {name: graph.makers.get(name, -1) for name in tensors}
    last = {name: max(graph.readers.get(name, [at])) for name, at in made.items()}
    return {
        numbers[name]
        for name, at in made.items()
        if not any(made[other] < at < last[other] for other in tensors if other != name)
    }
