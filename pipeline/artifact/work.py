"""Counts what running a model once costs at least: multiply-accumulates by type, and bytes that have to be moved.

Weights are the bytes of all tensors that are written into the model; each is read once a call.

Activations are counted for one example: the model's inputs are read once, its outputs written once, and every tensor
between them that has to exist in memory is written once and read once. A tensor need not exist where a runtime can go
on working on each element as it is made: a tensor that only goes into an activation function, a normalization with
fixed statistics, a cast, a quantization, or an arithmetic operation with constants or single numbers. The result of
DequantizeLinear (which is carried out where its output is read) and a view (Reshape and the like) need not exist,
either. A runtime really moves more: it fuses less, reads windows of a convolution more than once, and reorders.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.artifact.count import PRODUCTS, Tensor, constants_of, known_tensors, macs_by_node, torch_macs
from pipeline.artifact.files import Artifact
from pipeline.artifact.openvino_count import openvino_macs_by_type
from pipeline.artifact.openvino_file import read_graph, weight_bytes

if TYPE_CHECKING:
    import onnx

_VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
_MOVES = _VIEWS | {"Transpose"}
_ELEMENTWISE = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Sigmoid", "HardSigmoid", "HardSwish"}
    | {"Tanh", "Softplus", "Softsign", "Gelu", "Erf", "Mish", "Clip", "Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal"}
    | {"Cast", "QuantizeLinear", "BatchNormalization"}
)
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"})
_INTEGER_PRODUCTS = frozenset(
    {"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QGemm"}
    | {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work for one example; None (or an empty mapping) where it can't be told."""

    macs_by_type: dict[str, int] = field(default_factory=dict)
    """MACs by the type of the factors: ``fp32``, ``fp16``, ``bf16``, ``fp64``, or ``int8`` where both are int8, also in
    QDQ form."""
    weight_bytes: int | None = None
    activation_bytes: int | None = None


def work(artifact: Artifact) -> Work:
    """Count an artifact's work. The activations of a model that is not ONNX are not known."""
    if artifact.format == "openvino":
        weights = weight_bytes(read_graph(artifact.openvino_path))
        return Work(macs_by_type=openvino_macs_by_type(artifact), weight_bytes=weights)
    return _torch_work(artifact) if artifact.format == "torch" else _onnx_work(artifact)


def _torch_work(artifact: Artifact) -> Work:
    from pipeline.artifact.torch_module import load_module, load_spec

    module = load_module(artifact.path)
    macs = torch_macs(module, load_spec(artifact.path))
    tensors = [*module.parameters(), *module.buffers()]
    return Work(
        macs_by_type={} if macs is None else {"fp32": macs},
        weight_bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
    )


def _onnx_work(artifact: Artifact) -> Work:
    import onnx

    model = onnx.load(artifact.onnx_path, load_external_data=False)
    constants = constants_of(model)
    tensors = known_tensors(model, constants)
    macs = macs_by_node(model, tensors)
    by_type: Counter[str] = Counter()
    for node, cost in macs or []:
        by_type[_kind(node, model, tensors)] += cost
    return Work(
        macs_by_type=dict(by_type),
        weight_bytes=sum(_size(Tensor(tuple(tensor.dims), tensor.data_type)) for tensor in constants.values()),
        activation_bytes=_activation_bytes(model, tensors, constants),
    )


def _kind(node: onnx.NodeProto, model: onnx.ModelProto, tensors: Mapping[str, Tensor]) -> str:
    if node.op_type in _INTEGER_PRODUCTS:
        return "int8"
    factors = [node.input[position] for position in PRODUCTS[node.op_type]]
    if restored_values(model).issuperset(factors):
        return "int8"
    from onnx import TensorProto

    names: dict[int, str] = {TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16", TensorProto.DOUBLE: "fp64"}
    return names.get(tensors[factors[0]].data_type, "fp32")


def restored_values(model: onnx.ModelProto) -> set[str]:
    """The values that a DequantizeLinear restores from integers, in another shape or order too."""
    found: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" or (node.op_type in _MOVES and node.input[0] in found):
            found.update(node.output)
    return found


def _activation_bytes(
    model: onnx.ModelProto, tensors: Mapping[str, Tensor], constants: Mapping[str, onnx.TensorProto]
) -> int | None:
    """The bytes of activations; None where a tensor that has to exist has an unknown shape."""
    graph = _Graph(model, tensors, constants)
    reads = [value.name for value in model.graph.input if value.name not in constants]
    writes = [value.name for value in model.graph.output]
    between = [name for name in graph.made if name not in writes and graph.exists(name)]
    if any(name not in tensors or not tensors[name].data_type for name in (*reads, *writes, *between)):
        return None
    once = sum(_size(tensors[name]) for name in (*reads, *writes))
    return once + 2 * sum(_size(tensors[name]) for name in between)


class _Graph:
    """Which tensors a model makes from its inputs, and who reads them."""

    def __init__(
        self, model: onnx.ModelProto, tensors: Mapping[str, Tensor], constants: Mapping[str, onnx.TensorProto]
    ) -> None:
        self.tensors = tensors
        self.fixed = set(constants)
        self.made: dict[str, onnx.NodeProto] = {}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            inputs = [name for name in node.input if name]
            if self.fixed.issuperset(inputs):
                self.fixed.update(node.output)  # worked out when the model is loaded
                continue
            for name in dict.fromkeys(inputs):
                self.readers.setdefault(name, []).append(node)
            self.made.update((name, node) for name in node.output if name)

    def exists(self, name: str) -> bool:
        """Whether a tensor that is no output of the model has to be in memory."""
        if self.made[name].op_type in {*_VIEWS, "DequantizeLinear"}:
            return False
        readers = self._readers(name)
        return bool(readers) and not (len(readers) == 1 and self._goes_on(readers[0]))

    def _readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that work on a tensor, those that only look at it in another shape passed through."""
        found = []
        for node in self.readers.get(name, ()):
            if node.op_type in _VIEWS and node.input[0] == name:
                found.extend(self._readers(node.output[0]) or [node])
            elif node.op_type != "Shape":
                found.append(node)
        return found

    def _goes_on(self, node: onnx.NodeProto) -> bool:
        """Whether a node can work on each element as it is made."""
        if node.op_type in _ELEMENTWISE or node.op_type in _VIEWS:
            return True
        large = [name for name in node.input if name not in self.fixed and not self._is_single(name)]
        return node.op_type in _ARITHMETIC and len(large) <= 1

    def _is_single(self, name: str) -> bool:
        return name in self.tensors and math.prod(self.tensors[name].shape) == 1


def _size(tensor: Tensor) -> int:
    """Bytes of a tensor; types of less than a byte are packed."""
    from onnx import TensorProto, helper

    packed: tuple[int, ...] = (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1)
    elements = math.prod(tensor.shape)
    if tensor.data_type in packed:
        return -(-elements // 2)
    if tensor.data_type == TensorProto.STRING:
        return elements
    return elements * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
