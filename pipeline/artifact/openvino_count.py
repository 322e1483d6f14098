"""How large a model in OpenVINO's own format is: parameters, and multiply-accumulate operations (MACs) for one example.

It counts as ``pipeline.artifact.count`` counts an ONNX model. Parameters are the elements of the floating-point
constants with at least one axis, and of the integer constants that stand for them; scales, zero points and the limits
of a FakeQuantize don't count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline.artifact.files import Artifact
from pipeline.artifact.openvino_model import ERRORS, read_model

_FLOATS = ("f32", "f16", "bf16", "f64")
_PRODUCTS = {
    # Operator: how many axes of its weights come before those that each result sums over; None: a matrix product.
    "Convolution": 1,
    "GroupConvolution": 2,
    "ConvolutionBackpropData": 1,
    "GroupConvolutionBackpropData": 2,
    "MatMul": None,
    "ScaledDotProductAttention": None,
}
_UNCOUNTED = frozenset(
    {"LSTMCell", "LSTMSequence", "GRUCell", "GRUSequence", "RNNCell", "RNNSequence", "TensorIterator", "Loop", "If"}
    | {"DeformableConvolution", "BinaryConvolution", "Einsum", "PagedAttentionExtension"}
)
_PASSED = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Convert", "MaxPool"})
"""Operators that leave the values of a quantized tensor as they are."""
_ARITHMETIC = ("Subtract", "Multiply")


def count_openvino(artifact: Artifact) -> tuple[int, int | None]:
    """Parameters, and MACs for one example or None where a shape is unknown or a product can't be counted."""
    model = read_model(artifact)
    macs = _macs_by_type(model)
    return sum(map(_elements, _weights(model))), None if macs is None else sum(macs.values())


def openvino_macs_by_type(artifact: Artifact) -> dict[str, int]:
    """MACs by the type of the factors: ``fp32``, ``fp16``, ``bf16``, ``fp64``, or ``int8`` where both are quantized;
    empty where they can't be told."""
    return dict(_macs_by_type(read_model(artifact)) or {})


def products_by_type(model: Any, *, weights_only: bool = False) -> tuple[Counter[str], Counter[str]]:
    """How many convolutions and matrix products of each type a model has, and how many of them are left in float;
    ``weights_only`` asks for their weights only."""
    products = [node for node in model.get_ops() if node.get_type_name() in _PRODUCTS]
    left = [
        node
        for node in products
        if not all(_is_quantized(node.input_value(place).get_node()) for place in ((1,) if weights_only else (0, 1)))
    ]
    return Counter(node.get_type_name() for node in products), Counter(node.get_type_name() for node in left)


def _weights(model: Any) -> Iterator[Any]:
    """The constants that hold weights."""
    for node in model.get_ops():
        if node.get_type_name() != "Constant":
            continue
        readers = [(port.get_node(), port.get_index()) for port in node.output(0).get_target_inputs()]
        kind = node.get_element_type().get_type_name()
        if kind in _FLOATS:
            if len(node.get_output_shape(0)) and not all(_is_scale(*reader) for reader in readers):
                yield node
        elif any(_restores(*reader) for reader in readers):
            yield node


def _is_scale(reader: Any, place: int) -> bool:
    """Whether a float constant is the limit of a FakeQuantize, or is multiplied with what integers were restored to."""
    if reader.get_type_name() == "FakeQuantize":
        return place > 0
    return reader.get_type_name() in _ARITHMETIC and _is_restored(reader.input_value(1 - place).get_node())


def _is_restored(node: Any) -> bool:
    """Whether a node gives the float values of an integer constant."""
    while node.get_type_name() in ("Convert", "Subtract") and node.get_input_size():
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and node.get_element_type().get_type_name() not in _FLOATS


def _restores(reader: Any, place: int) -> bool:
    """Whether an integer constant is turned into the first factor of a scale, and not into a zero point."""
    if reader.get_type_name() != "Convert":
        return False
    onward = [(port.get_node(), port.get_index()) for port in reader.output(0).get_target_inputs()]
    return any(node.get_type_name() in _ARITHMETIC and index == 0 for node, index in onward)


def _elements(constant: Any) -> int:
    return math.prod(constant.get_output_shape(0))


def _macs_by_type(model: Any) -> Counter[str] | None:
    if any(node.get_type_name() in _UNCOUNTED for node in model.get_ops()) or not _for_one_example(model):
        return None
    found: Counter[str] = Counter()
    for node in model.get_ordered_ops():
        if node.get_type_name() not in _PRODUCTS:
            continue
        shapes = [
            node.input(0).get_partial_shape(),
            node.input(1).get_partial_shape(),
            node.get_output_partial_shape(0),
        ]
        if any(shape.is_dynamic for shape in shapes):
            return None
        found[_kind(node)] += _node_macs(node, *(tuple(shape.to_shape()) for shape in shapes))
    return found


def _for_one_example(model: Any) -> bool:
    """Write a batch of 1 into the inputs whose first size is free; False where the model does not take it."""
    shapes = {}
    for port in model.inputs:
        shape = port.get_partial_shape()
        if shape.rank.is_static and len(shape) and shape[0].is_dynamic:
            shape[0] = 1
        shapes[port] = shape
    try:
        model.reshape(shapes)
    except ERRORS:
        return False
    return True


def _node_macs(node: Any, first: tuple[int, ...], second: tuple[int, ...], output: tuple[int, ...]) -> int:
    before = _PRODUCTS[node.get_type_name()]
    if before is not None:
        # Weights [groups, out, in, ...] of a convolution, [groups, in, out, ...] of a transposed one.
        used = first if "Backprop" in node.get_type_name() else output
        return math.prod(used) * math.prod(second[before:])
    if node.get_type_name() == "ScaledDotProductAttention":
        return (math.prod(first) + math.prod(output)) * second[-2]  # scores of each query and key, then their values
    transposed = node.get_attributes().get("transpose_a") and len(first) > 1
    return math.prod(output) * (first[-2] if transposed else first[-1])


def _kind(node: Any) -> str:
    if all(_is_quantized(node.input_value(place).get_node()) for place in (0, 1)):
        return "int8"
    name = str(node.get_output_element_type(0).get_type_name())
    return {"f32": "fp32", "f64": "fp64", "f16": "fp16"}.get(name, name)


def _is_quantized(node: Any) -> bool:
    while node.get_type_name() in _PASSED and not _is_restored(node):
        node = node.input_value(0).get_node()
    if node.get_type_name() == "FakeQuantize":
        return True
    return node.get_type_name() == "Multiply" and _is_restored(node.input_value(0).get_node())
