"""Finds the batches that a model takes, by trying: a size written inside a graph shows in no declared shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pipeline.artifact.agreement import close
from pipeline.artifact.onnx_graph import all_graphs
from pipeline.artifact.run import typed
from pipeline.data.batches import Feed, Inputs, axes_of, batch_of
from pipeline.errors import first_line

if TYPE_CHECKING:
    import onnx

TRIED = 2
"""A batch that no model has as its only one by chance; files are usually fixed to 1."""
_SHAPED = ("Reshape", "Expand", "ConstantOfShape", "Tile")
Run = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The batches that a model takes: the only size, or None where any will do, with the reason why no other does; and
    oddities."""

    size: int | None = None
    reason: str = ""
    remarks: list[str] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    """The shapes of the outputs that came out, for one batch of this size, or for two examples where any size will
    do."""


def only_batch(session: Any, feed: Feed, model: onnx.ModelProto, declared: int | None, relative: float) -> Batches:
    """Run two examples at once, and one example; where two fail, find the size that runs. A declared size is taken as
    it is. ``relative`` is the largest difference between outputs that rounding explains. Where no size runs, there are
    no shapes."""
    if declared is not None:
        return _found(_Attempt.at(session, feed, declared), declared, "")
    two, one = _Attempt.at(session, feed, TRIED), _Attempt.at(session, feed, 1)
    if one.outputs and two.outputs:
        merged = next((text for text in map(_merged, one.outputs, two.outputs) if text), None)
        if merged is not None:
            return _found(one, 1, merged)
        return replace(_found(two, None, ""), remarks=_remarks(session, feed, two.outputs, one.outputs, relative))
    if two.outputs:
        return _found(two, TRIED, one.reason)
    if one.outputs:
        return _found(one, 1, two.reason)
    for size in _written(model):
        attempt = _Attempt.at(session, feed, size)
        if attempt.outputs:
            return _found(attempt, size, one.reason)
    return Batches(reason=one.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """Outputs, or why there are none."""

    outputs: list[NDArray[Any]] | None
    reason: str = ""

    @classmethod
    def at(cls, session: Any, feed: Feed, size: int) -> _Attempt:
        inputs = {value.name: value for value in session.get_inputs()}
        batch = batch_of(Inputs({name: feed[name] for name in inputs}, axes_of(feed)), size)
        try:
            return cls(outputs=session.run(None, typed(batch, session)))
        except Exception as error:  # noqa: BLE001 - a runtime raises what it likes; here it becomes the reason
            return cls(outputs=None, reason=first_line(error))


def _found(attempt: _Attempt, size: int | None, reason: str) -> Batches:
    return Batches(size=size, reason=reason, shapes=[output.shape for output in attempt.outputs or ()])


def _merged(one: NDArray[Any], two: NDArray[Any]) -> str | None:
    """Whether the second example went into the first's row: [1, 16] became [1, 32]."""
    if one.shape[:1] != (1,) or two.shape[:1] != (1,) or two.size != TRIED * one.size:
        return None
    if any(pair == (1, TRIED) for pair in zip(one.shape, two.shape, strict=False)):
        return None
    return f"two examples at once give an output of {list(two.shape)}, and one gives {list(one.shape)}"


def _remarks(session: Any, feed: Feed, two: list[NDArray[Any]], one: list[NDArray[Any]], relative: float) -> list[str]:
    again = _Attempt.at(session, feed, 1).outputs or one
    if not all(close(first, second, relative) for first, second in zip(one, again, strict=True)):
        return [
            "its outputs for one and the same input differ from call to call: is a Dropout or a batch normalization "
            "left in training mode?"
        ]
    batched = [(first, both) for first, both in zip(one, two, strict=True) if both.shape == (TRIED, *first.shape[1:])]
    if all(close(first, both[:1], relative) for first, both in batched):
        return []
    return [
        "what it says of an example depends on the examples beside it in the batch: is a batch normalization left in "
        "training mode?"
    ]


def _written(model: onnx.ModelProto) -> Iterator[int]:
    """The first sizes of the shapes that are written into the graph."""
    from onnx import TensorProto, numpy_helper

    sizes: set[int] = set()
    for graph in all_graphs(model.graph):
        wanted = {name for node in graph.node if node.op_type in _SHAPED for name in node.input[1:] or node.input}
        constants = [attribute.t for node in graph.node if node.op_type == "Constant" for attribute in node.attribute]
        names = {node.output[0] for node in graph.node if node.op_type == "Constant"}
        for tensor in (*graph.initializer, *(constants if names & wanted else ())):
            small = tensor.data_type == TensorProto.INT64 and len(tensor.dims) == 1 and 0 < tensor.dims[0] <= 8
            if small and tensor.data_location != TensorProto.EXTERNAL:
                sizes.add(int(numpy_helper.to_array(tensor)[0]))
    return iter(sorted(size for size in sizes if size > TRIED)[:16])
