"""A quantized graph whose constants are in float and can be changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.onnx_graph import reads

if TYPE_CHECKING:
    import onnx


class Simulated:
    """A model in the format QDQ that computes what it computes quantized: activations are rounded, and constants are
    the floats that their integers stand for."""

    def __init__(self, quantized: onnx.ModelProto) -> None:
        from onnx import numpy_helper

        self._model = quantized
        graph = quantized.graph
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.nodes = {node.name: node for node in graph.node}
        self.steps: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
        """The step and the zero point of each constant that was in integers, by the name of the constant in float."""
        self.integers: dict[str, str] = {}
        """The name of the constant in integers, by that of the one in float."""
        for node in [node for node in graph.node if node.op_type == "DequantizeLinear"]:
            if not all(name in self._tensors for name in node.input):
                continue
            values, step, *zero = (numpy_helper.to_array(self._tensors[name]) for name in node.input)
            if step.size > 1:
                along = _along(node, values.shape, step.size)
                step, zero = step.reshape(along), [each.reshape(along) for each in zero]
            offset = zero[0] if zero else np.zeros((), values.dtype)
            name = node.output[0]
            self.steps[name], self.integers[name] = (step, offset), node.input[0]
            self.set(name, (values.astype(step.dtype) - offset.astype(step.dtype)) * step)
            graph.node.remove(node)

    def get(self, name: str) -> NDArray[Any]:
        """A constant."""
        from onnx import numpy_helper

        return numpy_helper.to_array(self._tensors[name])

    def set(self, name: str, values: NDArray[Any]) -> None:
        """Change a constant, or add one."""
        from onnx import numpy_helper

        tensor = self._tensors.get(name)
        if tensor is None:
            tensor = self._tensors[name] = self._model.graph.initializer.add()
        tensor.CopyFrom(numpy_helper.from_array(values, name))

    def has(self, name: str) -> bool:
        """Whether there is a constant of this name."""
        return name in self._tensors

    def part(self, names: Sequence[str], kind: int) -> onnx.ModelProto:
        """The model as far as it makes these values, which are its outputs, of the type that ONNX numbers so."""
        import onnx
        from onnx import helper

        graph = self._model.graph
        needed, kept = set(names), []
        for node in reversed(graph.node):
            if needed.intersection(node.output):
                kept.append(node)
                needed.update(reads(node))
        part = onnx.ModelProto()
        part.ir_version = self._model.ir_version
        part.opset_import.extend(self._model.opset_import)
        part.graph.name = graph.name
        part.graph.node.extend(reversed(kept))
        part.graph.initializer.extend(tensor for name, tensor in self._tensors.items() if name in needed)
        part.graph.input.extend(value for value in graph.input if value.name in needed)
        part.graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name in names)
        return part


def _along(dequantize: onnx.NodeProto, shape: tuple[int, ...], count: int) -> list[int]:
    """The shape in which the steps of channels go with the values; the quantizer writes axis 0 for biases of the shape
    [1, C], too."""
    axis = next((entry.i for entry in dequantize.attribute if entry.name == "axis"), 1) % len(shape)
    if shape[axis] != count:
        axis = shape.index(count)
    return [count if place == axis else 1 for place in range(len(shape))]
