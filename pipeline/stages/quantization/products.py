"""Puts products with constant weights into the form that the quantizers of ONNX Runtime get right."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifact.onnx_graph import reads
from pipeline.artifact.onnx_rewriting import fresh_name
from pipeline.stages.quantization.nodes import PRODUCTS

if TYPE_CHECKING:
    import onnx


def plain_gemms(model: onnx.ModelProto) -> None:
    """Make every Gemm compute A · B + C, with its factors in the constants: ONNX Runtime's quantizers either leave
    other Gemms as they are or lose ``alpha`` and ``beta`` on the way.

    A Gemm whose factors can't be put into constants stays as it is. A transposed first factor is transposed first.
    """
    from onnx import helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for place, node in reversed(list(enumerate(model.graph.node))):
        if node.op_type != "Gemm":
            continue
        given = {entry.name: entry for entry in node.attribute}
        alpha, beta = (given[name].f if name in given else 1.0 for name in ("alpha", "beta"))
        bias = node.input[2] if len(node.input) > 2 else ""
        if (alpha != 1 and node.input[1] not in constants) or (beta not in (0, 1) and bias and bias not in constants):
            continue
        if alpha != 1:
            node.input[1] = _scaled(model, constants[node.input[1]], alpha)
        if bias and beta == 0:
            del node.input[2:]
        elif bias and beta != 1:
            node.input[2] = _scaled(model, constants[bias], beta)
        if "transA" in given and given["transA"].i:
            turned = fresh_name(model, f"{node.input[0]}_turned")
            model.graph.node.insert(
                place, helper.make_node("Transpose", [node.input[0]], [turned], perm=[1, 0], name=turned)
            )
            node.input[0] = turned
        for name in given.keys() & {"alpha", "beta", "transA"}:
            node.attribute.remove(given[name])


def separate_constants(model: onnx.ModelProto) -> None:
    """Give products constants of their own where they can't share them when quantized.

    A bias has the step of its product's inputs, so no bias is shared. Weights have a step for each channel, so only
    products that have their channels on the same axis share them.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    readers = Counter(name for node in model.graph.node for name in reads(node))
    readers.update(value.name for value in model.graph.output)
    copies: dict[tuple[str, int], str] = {}
    for node in model.graph.node:
        if node.op_type not in PRODUCTS:
            continue
        if len(node.input) > 2 and node.input[2] in constants and readers[node.input[2]] > 1:
            node.input[2] = _copied(model, constants[node.input[2]])
        weight = node.input[1]
        if weight not in constants:
            continue
        key = weight, channel_axis(node, len(constants[weight].dims))
        if key not in copies:
            first = all(name != weight for name, _ in copies)
            copies[key] = weight if first else _copied(model, constants[weight])
        node.input[1] = copies[key]


def channel_axis(node: onnx.NodeProto, axes: int) -> int:
    """The axis of a product's weights that its result's channels lie on."""
    turned = any(entry.name == "transB" and entry.i for entry in node.attribute)
    if node.op_type == "Conv" or turned:
        return 0
    return 1 if node.op_type == "ConvTranspose" else axes - 1


def _copied(model: onnx.ModelProto, tensor: onnx.TensorProto) -> str:
    copy = model.graph.initializer.add()
    copy.CopyFrom(tensor)
    copy.name = fresh_name(model, tensor.name)
    return copy.name


def _scaled(model: onnx.ModelProto, tensor: onnx.TensorProto, factor: float) -> str:
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    name = fresh_name(model, f"{tensor.name}_scaled")
    scaled = np.asarray(values.astype(np.float64) * factor, values.dtype)
    model.graph.initializer.append(numpy_helper.from_array(scaled, name))
    return name
