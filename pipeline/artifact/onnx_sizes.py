"""Writes sizes into the shapes that an ONNX graph declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.artifact.onnx_graph import Shape, all_graphs, fed_inputs, shape_of
from pipeline.data.batches import Axes

if TYPE_CHECKING:
    import onnx


def set_ranks(model: onnx.ModelProto, ranks: Mapping[str, int]) -> list[str]:
    """Give inputs without a declared shape a shape of free sizes, in place, and return their names."""
    named = [value for value in fed_inputs(model.graph) if shape_of(value) is None and value.name in ranks]
    for value in named:
        shape = value.type.tensor_type.shape
        shape.SetInParent()
        for axis in range(ranks[value.name]):
            shape.dim.add().dim_param = f"{value.name}_{axis}" if axis else "batch"
    return [value.name for value in named]


def set_free(value: onnx.ValueInfoProto, rank: int) -> None:
    """Declare a shape with this number of axes, all of any size, in place."""
    shape = value.type.tensor_type.shape
    shape.Clear()
    shape.SetInParent()
    for _ in range(rank):
        shape.dim.add()


def set_batch(model: onnx.ModelProto, size: int, axes: Axes) -> None:
    """Write a batch size into the batch's axis of every input where it is free, in place; ``axes`` has the axes that
    are not 0."""
    for value in fed_inputs(model.graph):
        shape, axis = shape_of(value) or (), axes.get(value.name, 0)
        if axis is not None and axis < len(shape) and shape[axis] is None:
            set_sizes(model, value.name, [size if place == axis else None for place in range(len(shape))])


def set_sizes(model: onnx.ModelProto, name: str, sizes: Sequence[int | None]) -> None:
    """Write sizes into an input's declared shape, in place; None leaves an axis as it is.

    An axis with a name gets its size wherever the name stands: [batch, 3] and [batch, 5] are of one batch.
    """
    value = next(value for value in fed_inputs(model.graph) if value.name == name)
    for size, dim in zip(sizes, value.type.tensor_type.shape.dim, strict=True):
        if size is None:
            continue
        if dim.dim_param:
            set_axis(model, dim.dim_param, size)
        dim.dim_value = size


def set_free_sizes(
    model: onnx.ModelProto, sizes: Mapping[str, Sequence[int]], free: Mapping[str, Shape | None]
) -> None:
    """Write whole shapes into the axes of the inputs that are free in the shapes ``free``, in place.

    Where two inputs name an axis alike and have two sizes, each input gets its own.
    """
    for name, shape in free.items():
        if shape is not None and len(sizes.get(name, ())) == len(shape):
            pairs = zip(shape, sizes[name], strict=True)
            set_sizes(model, name, [size if declared is None else None for declared, size in pairs])


def set_axis(model: onnx.ModelProto, name: str, size: int) -> int:
    """Write the size of a named axis wherever its name stands, in place; returns how often that was."""
    found = [dim for dim in _dims(model) if dim.dim_param == name]
    for dim in found:
        dim.dim_value = size
    return len(found)


def axis_names(model: onnx.ModelProto) -> list[str]:
    """The names of free axes of the inputs, in their order."""
    dims = (dim for value in fed_inputs(model.graph) for dim in value.type.tensor_type.shape.dim)
    return list(dict.fromkeys(dim.dim_param for dim in dims if dim.dim_param))


def _dims(model: onnx.ModelProto) -> Iterator[onnx.TensorShapeProto.Dimension]:
    for graph in all_graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield from value.type.tensor_type.shape.dim
