"""Which nodes of a graph are quantized, and how many were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import Unchanged

if TYPE_CHECKING:
    import onnx

MIN_SQNR_DB = 4.0
"""The default floor. A quantized model of any use keeps more: 8 bits leave about 8 dB at the least."""
SMOOTHED = "_smoothed_by_channel"
"""The end of the names that SmoothQuant gives to values that it has divided by a factor a channel."""
_BEHIND_SOFTMAX = ("Where", "Dropout", "Cast", "Identity")
"""What may stand between a softmax and the product of an attention."""
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def has_attention(model: onnx.ModelProto) -> bool:
    """Whether a softmax's result goes into a matrix product, maybe past what masks, drops or casts it: PyTorch's
    exporter puts a Where behind the softmax of a masked ``scaled_dot_product_attention``.

    Where the operators between the products of a transformer are quantized, too, its accuracy collapses: the additive
    mask's large negative numbers leave no levels for the scores, and the residual stream's outliers leave none for the
    rest.
    """
    weights: set[str] = set()
    for node in model.graph.node:  # a node stands behind those that it reads
        if node.op_type == "MatMul" and weights.intersection(node.input):
            return True
        if node.op_type == "Softmax" or (node.op_type in _BEHIND_SOFTMAX and weights.intersection(node.input)):
            weights.add(node.output[0])
    return False


def weighted_nodes(model: onnx.ModelProto) -> Counter[str]:
    """How many nodes of each type with weights the model has in floating point."""
    return Counter(node.op_type for node in model.graph.node if node.op_type in PRODUCTS)


def products(model: onnx.ModelProto) -> Sequence[onnx.NodeProto]:
    """The nodes that quantization is about: the products with constant weights."""
    constants = {tensor.name for tensor in model.graph.initializer}
    kinds = weighted_nodes(model)
    return [node for node in model.graph.node if node.op_type in kinds and node.input[1] in constants]


def quantized_share(before: Mapping[str, int], left: Mapping[str, int]) -> dict[str, str]:
    """How many nodes of each type were quantized, of all of that type: ``{"Conv": "8 of 8"}``."""
    return {kind: f"{count - left.get(kind, 0)} of {count}" for kind, count in before.items()}


def require_quantized(before: Mapping[str, int], left: Mapping[str, int]) -> None:
    """Raise Unchanged where nothing was quantized."""
    if sum(before.values()) == 0:
        raise Unchanged(f"the model has no {', '.join(PRODUCTS)}")
    if sum(left.values()) >= sum(before.values()):
        there = ", ".join(f"{count} {kind}" for kind, count in before.items() if count)
        raise Unchanged(
            f"none of {there} could be quantized, with constant float weights and within op_types, exclude_nodes and "
            "exclude_op_types"
        )
