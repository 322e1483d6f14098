"""Puts an ONNX graph into the form that onnx2pytorch makes a module of which can be pruned, trained and exported again.

The computation stays. Its batch is free, each product of weights is one layer with its bias, and every name is a Python
identifier.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.artifact.onnx_graph import Shape, fed_inputs, inner_graphs, readers_of, shape_of, symbols_of
from pipeline.artifact.onnx_rewriting import free_name, fresh_name, make_outputs, rename_reads, trim_inputs
from pipeline.errors import StageFailed, first_line
from pipeline.importing.clean import clean
from pipeline.stages.quantization.products import plain_gemms

if TYPE_CHECKING:
    import onnx

    Weights = Mapping[str, onnx.TensorProto]
    Symbols = tuple[int | str | None, ...]

logger = logging.getLogger(__name__)

BATCH = "batch"
_QKV = 3
"""The size of the axis that tells queries, keys and values apart where one layer makes all three."""


def ready(model: onnx.ModelProto, batch: int | None) -> onnx.ModelProto:
    """The graph in that form; ``batch`` is the only batch size that it takes, None where any will do.

    The given graph may be changed. Raises StageFailed where the shapes contradict each other.
    """
    from onnxscript import optimizer

    if batch is not None:
        model = _with_free_batch(model, batch)
    try:
        model = optimizer.optimize(model)
    except Exception:
        logger.info("constants are not folded", exc_info=True)
    clean(model)
    make_outputs(model)
    _follow_reshapes(model)
    trim_inputs(model)
    plain_gemms(model)
    _plain_biases(model)
    _hide_other_factors(model)
    _join_biases(model)
    _give_identifiers(model)
    return model


def _with_free_batch(model: onnx.ModelProto, batch: int) -> onnx.ModelProto:
    """A model that takes one batch size with a free batch; reshapings have it no longer, and other shapes inside are
    left to be inferred."""
    from onnx import shape_inference

    try:
        shaped = shape_inference.infer_shapes(model, data_prop=True)
    except shape_inference.InferenceError as error:
        raise StageFailed(f"its shapes contradict each other: {first_line(error)}") from error
    graph = shaped.graph
    shapes = {value.name: shape_of(value) for value in (*graph.input, *graph.output, *graph.value_info)}
    for node in [node for node in graph.node if node.op_type == "Reshape" and len(node.input) > 1]:
        sizes = _sizes(shapes.get(node.output[0]), shapes.get(node.input[0]), batch)
        if sizes is not None:
            _give_sizes(shaped, node, sizes)
    for value in (*fed_inputs(graph), *graph.output):
        first = next(iter(value.type.tensor_type.shape.dim), None)
        if first is not None and first.dim_value == batch:
            first.dim_param = BATCH
    del graph.value_info[:]
    return shaped


def _give_sizes(model: onnx.ModelProto, node: onnx.NodeProto, sizes: Sequence[int]) -> None:
    """Let a reshaping, in place, have these sizes; 0 is that of what it reads."""
    import numpy as np
    from onnx import numpy_helper

    node.input[1] = fresh_name(model, f"{node.output[0]}_sizes")
    model.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), node.input[1]))
    for entry in [entry for entry in node.attribute if entry.name == "allowzero"]:
        node.attribute.remove(entry)


def _sizes(result: Shape | None, source: Shape | None, batch: int) -> list[int] | None:
    """A reshaping's sizes with the batch free: 0 where it stays on axis 0, -1 where it comes from elsewhere; None
    where they can't be told."""
    if not result or not source or None in result or 0 in result or result[0] != batch:
        return None
    return [0 if source[0] == batch else -1, *(int(size or 0) for size in result[1:])]


def _follow_reshapes(model: onnx.ModelProto) -> None:
    """Let reshapings, in place, take from what they read every size that stays: with the number of channels written
    inside, none could be taken out. Nodes that computed such sizes go."""
    from onnx import shape_inference
    from onnxscript import optimizer

    try:
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
    except shape_inference.InferenceError:
        return
    shapes = {value.name: symbols_of(value) for value in (*graph.input, *graph.output, *graph.value_info)}
    weights = _weights(model)
    for node in [node for node in model.graph.node if node.op_type == "Reshape" and len(node.input) > 1]:
        sizes = _followed(shapes.get(node.output[0]), shapes.get(node.input[0]), node.input[1] in weights)
        if sizes is not None:
            _give_sizes(model, node, sizes)
    optimizer.remove_unused_nodes(model)


def _followed(result: Symbols | None, source: Symbols | None, are_constant: bool) -> list[int] | None:
    """A reshaping's sizes: 0 where an axis stays, -1 for the one that is not known, or else the first that does not
    stay; None where they can't be told, or where the graph computes one that does not stay. An axis of 3 beside others
    is that of queries, keys and values, and keeps its size."""
    if not result or not source or 0 in result:
        return None
    stays = [axis < len(source) and size is not None and size == source[axis] for axis, size in enumerate(result)]
    new = [axis for axis, same in enumerate(stays) if not same]
    unknown = [axis for axis in new if not isinstance(result[axis], int)]
    if len(unknown) > are_constant:
        return None
    rest = next(iter(unknown or [axis for axis in new if result[axis] != _QKV] or new), None)
    return [0 if same else -1 if axis == rest else int(result[axis] or 0) for axis, same in enumerate(stays)]


def _plain_biases(model: onnx.ModelProto) -> None:
    """Give each Gemm a bias of one axis, in place."""
    weights = _weights(model)
    for node in model.graph.node:
        if node.op_type != "Gemm" or len(node.input) < 3 or not {*node.input[1:]} <= set(weights):
            continue
        turned = any(entry.name == "transB" and entry.i for entry in node.attribute)
        outputs = weights[node.input[1]].dims[0 if turned else 1]
        bias = _vector(model, weights[node.input[2]], outputs)
        node.input[2] = bias or node.input[2]


def _hide_other_factors(model: onnx.ModelProto) -> None:
    """Put an Identity before a product's constant that is no matrix on the right, in place: the library takes every
    constant for one."""
    from onnx import helper

    weights = _weights(model)
    for place, node in reversed(list(enumerate(model.graph.node))):
        if node.op_type != "MatMul" or _is_linear(node, weights):
            continue
        for factor, name in enumerate(node.input):
            if name in weights:
                hidden = fresh_name(model, f"{name}_read")
                node.input[factor] = hidden
                model.graph.node.insert(place, helper.make_node("Identity", [name], [hidden], name=hidden))


def _join_biases(model: onnx.ModelProto) -> None:
    """Put the bias that is added to a product right behind it, in place: the library makes one layer of the two.

    It takes each constant that the next node adds for a bias. Where it is none, an Identity goes between.
    """
    from onnx import helper

    graph = model.graph
    weights, readers = _weights(model), readers_of(graph)
    outputs = {value.name for value in graph.output}
    for place, node in reversed(list(enumerate(graph.node))):
        if not _is_linear(node, weights):
            continue
        product = node.output[0]
        following = [] if product in outputs else readers.get(product, [])
        adds = [reader for reader in following if reader.op_type == "Add"]
        alone = len(following) == len(adds) == 1
        added = weights.get(next((name for name in adds[0].input if name != product), "")) if alone else None
        bias = None if added is None else _bias(model, added, weights[node.input[1]].dims[1])
        if bias is not None:
            joined = helper.make_node("Add", [product, bias], list(adds[0].output), name=adds[0].name)
            graph.node.remove(adds[0])
            graph.node.insert(place + 1, joined)
        elif adds:
            node.output[0] = fresh_name(model, f"{product}_product")
            behind = helper.make_node("Identity", [node.output[0]], [product], name=node.output[0])
            graph.node.insert(place + 1, behind)


def _bias(model: onnx.ModelProto, added: onnx.TensorProto, width: int) -> str | None:
    """The constant that is added to a product, as a vector; None where it is none."""
    return _vector(model, added, width) if list(added.dims)[-1:] == [width] else None


def _is_linear(node: onnx.NodeProto, weights: Weights) -> bool:
    """Whether a node is the product of a value with a constant matrix."""
    if node.op_type != "MatMul" or node.input[1] not in weights or node.input[0] in weights:
        return False
    return len(weights[node.input[1]].dims) == 2


def _vector(model: onnx.ModelProto, tensor: onnx.TensorProto, width: int) -> str | None:
    """The name of a constant as a vector of ``width`` values: its own, or a new one's; None where it holds more."""
    import numpy as np
    from onnx import numpy_helper

    if list(tensor.dims) == [width]:
        return tensor.name
    values = numpy_helper.to_array(tensor)
    if values.size not in (1, width):
        return None
    name = fresh_name(model, f"{tensor.name}_vector")
    vector = np.array(np.broadcast_to(values.reshape(-1), (width,)))
    model.graph.initializer.append(numpy_helper.from_array(vector, name))
    return name


def _weights(model: onnx.ModelProto) -> Weights:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def _give_identifiers(model: onnx.ModelProto) -> None:
    """Give every value a name that an attribute can have, in place. A node's first result is called as the node is."""
    graph = model.graph
    taken: set[str] = set()
    names: dict[str, str] = {}

    def give(old: str, wanted: str) -> None:
        if old and old not in names:
            names[old] = free_name(re.sub(r"\W+", "_", wanted).strip("_") or "value", taken)
            taken.add(names[old])

    for value in graph.input:
        give(value.name, value.name)
    for tensor in graph.initializer:
        give(tensor.name, tensor.name)
    for node in graph.node:
        for place, name in enumerate(node.output):
            give(name, name if place or not node.name else node.name)
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    for node in graph.node:
        for values in (node.input, node.output):
            for place, name in enumerate(values):
                values[place] = names.get(name, name)
        for inner in inner_graphs(node):
            rename_reads(inner, names)
    del graph.value_info[:]
