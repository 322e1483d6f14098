"""How large a model is: parameters, and multiply-accumulate operations (MACs) for one example.

Parameters of an ONNX model are the elements of its weight tensors: floating-point constants with at least one axis, and
the integer tensors that stand for them in a quantized model. Scales, zero points, shapes, axes and sizes don't count.
So a model and its quantized form have the same number. Parameters of a PyTorch model are its ``parameters()``;
exporting it folds batch normalization into convolutions, which leaves a few less.

MACs are counted for convolutions and matrix products (Conv, ConvTranspose, Gemm, MatMul and their quantized forms).
Where a shape is unknown, or a model does products in another way, the number is None and never a part of the truth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.artifact.files import Artifact
from pipeline.artifact.openvino_count import count_openvino

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from pipeline.artifact.torch_module import ModelSpec

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor whose shape is known: its sizes, and the element type's number in ONNX."""

    shape: Shape
    data_type: int


PRODUCTS = {
    # Operator: positions of its two factors.
    "Conv": (0, 1),
    "ConvInteger": (0, 1),
    "ConvTranspose": (0, 1),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "FusedConv": (0, 1),
    "FusedMatMul": (0, 1),
    "FusedGemm": (0, 1),
    "DynamicQuantizeMatMul": (0, 1),
    "MatMulIntegerToFloat": (0, 1),
    "QLinearConv": (0, 3),
    "QLinearMatMul": (0, 3),
    "QGemm": (0, 3),
}
_INTEGER_WEIGHTS = {
    # Operator: positions where an integer tensor stands for weights.
    "DequantizeLinear": (0,),
    "ConvInteger": (1,),
    "MatMulInteger": (1,),
    "DynamicQuantizeMatMul": (1,),
    "MatMulIntegerToFloat": (1,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (3,),
    "QGemm": (3, 6),
}
_NO_WEIGHTS = {
    # Operator: positions of floating-point inputs that are no weights.
    "QuantizeLinear": (1, 2),
    "DequantizeLinear": (1, 2),
    "DynamicQuantizeMatMul": (2,),
    "MatMulIntegerToFloat": (2, 3),
    "QLinearConv": (1, 4, 6),
    "QLinearMatMul": (1, 4, 6),
    "QGemm": (1, 4, 7),
    "MatMulNBits": (2, 3),
    "QLinearAdd": (1, 4, 6),
    "QLinearMul": (1, 4, 6),
    "Resize": (1, 2),
    "Upsample": (1,),
}
_UNCOUNTED = frozenset(
    {
        "Attention",
        "MultiHeadAttention",
        "GroupQueryAttention",
        "QAttention",
        "LSTM",
        "GRU",
        "RNN",
        "Einsum",
        "MatMulNBits",
    }
    | {"Loop", "If", "Scan", "DeformConv", "DynamicQuantizeLSTM", "NhwcFusedConv"}
)


def count(artifact: Artifact) -> tuple[int | None, int | None]:
    """Parameters and MACs for one example; None where it can't be told."""
    if artifact.format == "openvino":
        return count_openvino(artifact)
    return _count_onnx(artifact) if artifact.format == "onnx" else _count_torch(artifact)


def _count_torch(artifact: Artifact) -> tuple[int, int | None]:
    from pipeline.artifact.torch_module import load_module, load_spec

    return count_module(load_module(artifact.path), load_spec(artifact.path))


def count_module(module: nn.Module, spec: ModelSpec) -> tuple[int, int | None]:
    """Parameters and MACs of a PyTorch model; see ``torch_macs`` for None."""
    return sum(parameter.numel() for parameter in module.parameters()), torch_macs(module, spec)


def torch_macs(module: Any, spec: Any) -> int | None:
    """MACs of a module for one example.

    They are counted below the layers, where convolutions and products are carried out, so that a layer's class does not
    matter. None for a module with recurrent layers, which torch's counter does not see.
    """
    import torch
    from torch import nn
    from torch.utils.flop_counter import FlopCounterMode

    from pipeline.artifact.torch_module import example_inputs

    if any(isinstance(layer, nn.RNNBase) for layer in module.modules()):
        return None
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*example_inputs(spec, batch=1))
    return int(counter.get_total_flops()) // 2


def _count_onnx(artifact: Artifact) -> tuple[int, int | None]:
    import onnx

    return count_graph(onnx.load(artifact.onnx_path, load_external_data=False))


def count_graph(model: onnx.ModelProto) -> tuple[int, int | None]:
    """Parameters and MACs of an ONNX model for one example; the model is changed to have a batch of 1."""
    constants = constants_of(model)
    macs = macs_by_node(model, known_tensors(model, constants))
    return sum(elements_by_type(model).values()), None if macs is None else sum(cost for _, cost in macs)


def constants_of(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """The tensors that are written into a model, by name."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for entry in node.attribute:
                if entry.name == "value":
                    constants[node.output[0]] = entry.t
    return constants


def elements_by_type(model: onnx.ModelProto) -> dict[str, int]:
    """The parameters of an ONNX model by the type that they are stored in, such as ``float32``."""
    from onnx.helper import tensor_dtype_to_np_dtype

    constants = constants_of(model)
    found: Counter[str] = Counter()
    for name in _weights(model, constants):
        found[tensor_dtype_to_np_dtype(constants[name].data_type).name] += math.prod(constants[name].dims)
    for kind, elements in _packed_weights(model):
        found[kind] += elements
    return dict(found.most_common())


def _weights(model: onnx.ModelProto, constants: Mapping[str, onnx.TensorProto]) -> set[str]:
    scales = _dynamic_scales(model)
    weights: set[str] = set()
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name not in constants or name in scales or not constants[name].dims:
                continue
            integer = position in _INTEGER_WEIGHTS.get(node.op_type, ())
            float_weight = position not in _NO_WEIGHTS.get(node.op_type, ()) and _is_float(constants[name])
            if integer or float_weight:
                weights.add(name)
    return weights


def _packed_weights(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """Weights of which several may share an element, with their type: K x N in each MatMulNBits."""
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            stated = {entry.name: entry.i for entry in node.attribute}
            yield f"uint{stated.get('bits', 4)}", stated["K"] * stated["N"]


def _is_float(tensor: onnx.TensorProto) -> bool:
    from onnx import TensorProto

    return tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def _dynamic_scales(model: onnx.ModelProto) -> set[str]:
    """Constants that are multiplied with the scale of a DynamicQuantizeLinear: the scales of the weights."""
    scales = {node.output[1] for node in model.graph.node if node.op_type == "DynamicQuantizeLinear"}
    return {
        name
        for node in model.graph.node
        if node.op_type == "Mul" and scales & set(node.input)
        for name in node.input
        if name not in scales
    }


def macs_by_node(model: onnx.ModelProto, tensors: Mapping[str, Tensor]) -> list[tuple[onnx.NodeProto, int]] | None:
    """Each product with its MACs for one example; None where one can't be told."""
    if any(node.op_type in _UNCOUNTED for node in model.graph.node):
        return None
    found = []
    for node in model.graph.node:
        if node.op_type not in PRODUCTS:
            continue
        names = [*(node.input[position] for position in PRODUCTS[node.op_type]), node.output[0]]
        if any(name not in tensors for name in names):
            return None
        first, second, output = (tensors[name].shape for name in names)
        found.append((node, _node_macs(node, first, second, output)))
    return found


def _node_macs(node: onnx.NodeProto, first: Shape, second: Shape, output: Shape) -> int:
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])  # weights [in, out / groups, ...]: each input is used so often
    if "Conv" in node.op_type:
        return math.prod(output) * math.prod(second[1:])  # weights [out, in / groups, ...]: each output costs so much
    transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
    return math.prod(output) * (first[-2] if transposed and len(first) > 1 else first[-1])


def known_tensors(model: onnx.ModelProto, constants: Mapping[str, onnx.TensorProto]) -> dict[str, Tensor]:
    """The tensors whose shapes are wholly known when every input's batch is 1; the model is changed to have that
    batch."""
    import onnx

    for value in model.graph.input:
        sizes = value.type.tensor_type.shape.dim
        if sizes and sizes[0].dim_value == 0:
            sizes[0].dim_value = 1
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")  # else they say that the batch is free
    del model.graph.value_info[:]
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return {}
    tensors = {name: Tensor(tuple(tensor.dims), tensor.data_type) for name, tensor in constants.items()}
    values: Sequence[onnx.ValueInfoProto] = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    for value in values:
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.dim_value > 0 for dim in kind.shape.dim):
            tensors[value.name] = Tensor(tuple(dim.dim_value for dim in kind.shape.dim), kind.elem_type)
    return tensors
