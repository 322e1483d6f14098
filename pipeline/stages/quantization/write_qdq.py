"""Writes a quantized PyTorch graph as ONNX, in the form that ONNX Runtime turns into integer kernels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact import SINGLE_FILE_BYTES
from pipeline.artifact.onnx_rewriting import drop_unused, repair, write
from pipeline.artifact.torch_module import ModelSpec, free_axes
from pipeline.errors import StageFailed
from pipeline.stages.quantization.biases import LARGEST_BIAS
from pipeline.stages.quantization.float_layers import keep_layers_float

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 18
"""The opset that the dynamo exporter writes without converting."""


def write_qdq(program: torch.export.ExportedProgram, spec: ModelSpec, out: Path) -> onnx.ModelProto:
    """Write ``model.onnx`` into ``out`` and return the model; the names and free axes are the spec's."""
    import torch

    names = [entry.name for entry in spec.inputs]
    exported = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=names,
        output_names=list(spec.outputs),
        dynamic_shapes=free_axes(spec.inputs),
    )
    if exported is None:
        raise StageFailed("the dynamo exporter gave no model")
    model: onnx.ModelProto = exported.model_proto
    _drop_traces(model)
    repair(model)
    constants = _Constants(model)
    for node in list(model.graph.node):
        if node.op_type in ("Conv", "Gemm"):
            constants.quantize_bias(node)
        if node.op_type == "QuantizeLinear":
            constants.drop_clip_before(node)
    keep_layers_float(model, out)
    repair(model)
    drop_unused(model)
    write(model, out, model.ByteSize() > SINGLE_FILE_BYTES)
    return model


class _Constants:
    """The constants of a QDQ model, and what ONNX Runtime needs of them beyond what the exporter writes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx import numpy_helper

        self.graph = model.graph
        self.values = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.readers = Counter(name for node in self.graph.node for name in node.input)

    def quantize_bias(self, product: onnx.NodeProto) -> None:
        """Write a product's bias in 32 bits, at the scale of the sum that it is added to.

        Without it ONNX Runtime leaves a product in float whose result is not quantized.
        """
        from onnx import helper

        bias = self.values.get(product.input[2]) if len(product.input) > 2 else None
        data, weights = (self.makers.get(name) for name in product.input[:2])
        if bias is None or bias.ndim != 1 or data is None or weights is None:
            return
        if {data.op_type, weights.op_type} != {"DequantizeLinear"} or weights.input[0] not in self.values:
            return
        scale = np.broadcast_to(self.values[data.input[1]] * self.values[weights.input[1]], bias.shape)
        excess = np.abs(bias) / (scale * LARGEST_BIAS)
        if excess.max() > 1:
            if self.readers[weights.output[0]] > 1:
                return
            self._coarsen(weights, np.maximum(excess, 1).astype(np.float32))
            scale = self.values[data.input[1]] * self.values[weights.input[1]]
        name = f"{product.output[0]}_bias"
        inputs = [
            self._add(f"{name}_int32", np.rint(bias / scale).astype(np.int32)),
            self._add(f"{name}_scale", scale.astype(np.float32)),
        ]
        self.graph.node.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_float"], name=name, axis=0))
        product.input[2] = f"{name}_float"

    def drop_clip_before(self, quantize: onnx.NodeProto) -> None:
        """Take out a Clip whose limits lie less than half a step within those of the quantization that follows.

        ONNX Runtime does so too, but not where rounding put the limits of the quantization a little beyond.
        """
        clip = self.makers.get(quantize.input[0])
        if clip is None or clip.op_type != "Clip" or self.readers[clip.output[0]] != 1 or len(clip.input) != 3:
            return
        if not all(name in self.values for name in (*clip.input[1:], *quantize.input[1:])):
            return
        low, high = (float(self.values[name]) for name in clip.input[1:])
        step, zero = (float(self.values[name]) for name in quantize.input[1:])
        limits = np.iinfo(self.values[quantize.input[2]].dtype)
        if low - (limits.min - zero) * step < step / 2 and (limits.max - zero) * step - high < step / 2:
            quantize.input[0] = clip.input[0]
            self.graph.node.remove(clip)

    def _coarsen(self, weights: onnx.NodeProto, factors: NDArray[np.float32]) -> None:
        """Multiply the weights' scales, one a channel, where a channel of almost nothing has a bias too large."""
        values = self.values[weights.input[0]]
        rounded = np.rint(values / factors.reshape(-1, *[1] * (values.ndim - 1))).astype(values.dtype)
        scales = self.values[weights.input[1]] * factors
        weights.input[0] = self._add(f"{weights.output[0]}_coarse", rounded)
        weights.input[1] = self._add(f"{weights.output[0]}_coarse_scale", scales)

    def _add(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        self.values[name] = values
        return name


def _drop_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes of the source files, with their paths on this machine."""
    graph = model.graph
    holders: tuple[Any, ...] = (
        model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer,
    )  # fmt: skip
    for holder in holders:
        del holder.metadata_props[:]
