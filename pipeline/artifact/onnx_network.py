"""An ONNX graph as a PyTorch module: what the graph computes with becomes layers and parameters.

onnx2pytorch turns the nodes into modules. It keeps every constant as a buffer beside them, the weights of layers too,
and hands sizes and axes to the operators as tensors, which no exporter can follow. So here:

- a constant that a layer has taken is dropped;
- a vector of floats that is added, multiplied, or read by a normalization is a parameter, which training and pruning
  see;
- another small constant (sizes, axes, bounds) is a value, made anew at each call.

A stored model is made again from a text: the graph with zeros in place of its large weights.
"""

from __future__ import annotations

import base64
import math
import warnings
import zlib
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnx2pytorch import ConvertModel, operations
from onnx2pytorch.constants import STANDARD_LAYERS
from onnx2pytorch.convert.operations import get_buffer_name
from torch import nn

from pipeline.artifact.onnx_graph import inner_reads
from pipeline.artifact.onnx_operators import Gather, reading_sizes, settled, with_one_input
from pipeline.artifact.onnx_rewriting import copied
from pipeline.artifact.onnx_shapes import OnSizes, ShapeOf, computes_with_sizes
from pipeline.errors import StageFailed, first_line

_SMALL_BYTES = 256
"""Constants of up to this size keep their values in the text."""
_LARGEST = 1e4
"""A constant with larger values, or infinite ones, is a mask and no parameter."""
_TRAINED = frozenset({
    "Add", "Sub", "Mul", "Div", "Sum", "MatMul", "Gather", "Identity", "PRelu", "LayerNormalization",
    "RMSNormalization", "InstanceNormalization", "GroupNormalization",
})  # fmt: skip
"""The operators whose constants are parameters."""


class OnnxNetwork(ConvertModel):  # type: ignore[misc]  # the library has no types
    """The module of a graph. Its inputs and outputs are the graph's, in order."""

    def __init__(self, model: onnx.ModelProto, fixed: Collection[str]) -> None:
        """Convert the graph, which is changed; ``fixed`` names the constants that are no parameters."""
        super().__init__(model)
        self._settle(model)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):  # the library turns weights round, and not what it says of them
                layer.out_features, layer.in_features = layer.weight.shape
        self._values: dict[str, torch.Tensor] = {}
        readers = self._readers()
        for tensor in list(model.graph.initializer):
            buffer = get_buffer_name(tensor.name)
            value = self._buffers.pop(buffer, None)
            if value is None or tensor.name not in readers:  # a string, which stays as it is, or a layer's weight
                continue
            learns = value.is_floating_point() and value.numel() > 1 and readers[tensor.name] <= _TRAINED
            if learns and tensor.name not in fixed:
                self.register_parameter(buffer, nn.Parameter(value))
            elif _is_small(tensor):
                self._values[buffer] = value
            else:
                self.register_buffer(buffer, value)
        del model.graph.initializer[:]

    def __getattr__(self, name: str) -> Any:
        """A small constant is made anew whenever it is read, so that exporters see a value and not a tensor."""
        values = self.__dict__.get("_values", {})
        if name not in values:
            return super().__getattr__(name)
        device = next((parameter.device for parameter in self.parameters()), None)
        return torch.tensor(values[name].tolist(), dtype=values[name].dtype, device=device)

    def module_name(self, node: onnx.NodeProto) -> str:
        """The name of a node's module."""
        name: str = self.mapping[node.output[0]]
        return name

    def parameter_name(self, constant: str) -> str | None:
        """The name of the parameter that a constant of the graph has become; None where it has become none."""
        name: str = get_buffer_name(constant)
        return name if name in self._parameters else None

    def _settle(self, model: onnx.ModelProto) -> None:
        """Give operators the sizes and axes that they read as numbers, constant ones and those that nodes make."""
        small = (tensor for tensor in model.graph.initializer if _is_small(tensor))
        constants = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in small}
        sizes: set[str] = set()
        for node in model.graph.node:
            name = self.module_name(node)
            layer, inputs = _settled(node, getattr(self, name), constants, sizes)
            setattr(self, name, layer)
            del node.input[:]
            node.input.extend(inputs)

    def _readers(self) -> dict[str, set[str]]:
        """The operators that get each constant at a call; layers have taken theirs."""
        readers: dict[str, set[str]] = {}
        for node in self.onnx_model.graph.node:
            layer = getattr(self, self.module_name(node))
            for name in (*inner_reads(node), *(() if _is_standard(layer) else node.input)):
                readers.setdefault(name, set()).add(node.op_type)
        return readers


def _settled(node: onnx.NodeProto, layer: Any, constants: Mapping[str, Any], sizes: set[str]) -> tuple[Any, list[str]]:
    """The operator to use for a node, and the inputs that it is called with. The names of what are sizes are added to
    ``sizes``."""
    inputs, numbers = list(node.input), [constants.get(name) for name in node.input]
    if node.op_type == "Shape":
        sizes.add(node.output[0])
        return ShapeOf(layer.start, layer.end), inputs
    made = [name for name in inputs if name not in constants]
    if made and sizes.issuperset(made) and computes_with_sizes(node):
        sizes.add(node.output[0])
        return OnSizes(node.op_type, numbers), made
    if len(inputs) > 1 and all(not name or name in constants for name in inputs[1:]):
        known = settled(layer, numbers[1:])
        if known is not None:
            return known, inputs[:1]
    if isinstance(layer, operations.Gather):
        layer = Gather(len(layer.selection))
    if len(inputs) == 1:
        layer = with_one_input(layer)
    return (layer if sizes.isdisjoint(inputs) else reading_sizes(layer)), inputs


def network_of(model: onnx.ModelProto, fixed: Collection[str]) -> nn.Module:
    """The module of a graph, with its weights, in evaluation mode; ``fixed`` names the constants that are no
    parameters. Raises StageFailed with the operator that can't be read."""
    return _made(copied(model), fixed)


def as_text(model: onnx.ModelProto) -> str:
    """The graph without its large weights, as text."""
    bare = copied(model)
    for tensor in bare.graph.initializer:
        if not _is_small(tensor):
            named = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            tensor.CopyFrom(named)
    return base64.b85encode(zlib.compress(bare.SerializeToString(deterministic=True), 9)).decode()


def from_text(graph: str, fixed: Collection[str] = ()) -> nn.Module:
    """The module of a graph that ``as_text`` wrote; its large weights are 0. A factory (``ModelSpec.factory``)."""
    model = onnx.ModelProto.FromString(zlib.decompress(base64.b85decode(graph)))
    for tensor in model.graph.initializer:
        if not _is_small(tensor):
            tensor.raw_data = np.zeros(tuple(tensor.dims), _type(tensor)).tobytes()
    return _made(model, fixed)


def fixed_in(model: onnx.ModelProto) -> list[str]:
    """The constants of a graph that are no parameters by their values: masks."""
    floats = (tensor for tensor in model.graph.initializer if _type(tensor).kind == "f")
    return [tensor.name for tensor in floats if not (np.abs(numpy_helper.to_array(tensor)) <= _LARGEST).all()]


def _operator_in(error: BaseException) -> str | None:
    """The operator that the library was at when it failed, with the node's name; None where it was at none."""
    found: onnx.NodeProto | None = None
    place: TracebackType | None = error.__traceback__
    while place is not None:
        node = place.tb_frame.f_locals.get("node")
        found = node if isinstance(node, onnx.NodeProto) else found
        place = place.tb_next
    return None if found is None else f"{found.op_type} '{found.name}'"


def _made(model: onnx.ModelProto, fixed: Collection[str]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the library guesses is compared with what the graph gives
        try:
            network: nn.Module = OnnxNetwork(model, fixed)
            return network.eval()
        except Exception as error:
            raise StageFailed(f"onnx2pytorch can't read {_operator_in(error) or 'it'}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """The cause in words: the library raises NotImplementedError for an operator that it lacks, and LookupError for a
    node of another form than it reads, such as a convolution whose weight is computed."""
    if isinstance(error, NotImplementedError):
        return "it does not know this operator"
    said = first_line(error)
    return f"it did not foresee this form ({said})" if isinstance(error, LookupError) else said


def _is_standard(layer: Any) -> bool:
    """Whether a module has its weights inside."""
    parts = layer.modules() if isinstance(layer, nn.Sequential) else (layer,)
    return any(isinstance(part, STANDARD_LAYERS) for part in parts)


def _is_small(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type == tensor.STRING or math.prod(tensor.dims) * _type(tensor).itemsize <= _SMALL_BYTES


def _type(tensor: onnx.TensorProto) -> np.dtype[Any]:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
