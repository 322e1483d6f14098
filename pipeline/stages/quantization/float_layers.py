"""Layers of a quantized graph that stay in float."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.artifact.onnx_rewriting import drop_unused, fresh_name
from pipeline.stages.quantization.biases import LARGEST_BIAS, channels_of

if TYPE_CHECKING:
    import onnx

_TAKEN = ("Conv", "ConvTranspose", "Gemm")


def keep_layers_float(model: onnx.ModelProto, folder: Path) -> int:
    """Let layers with weights in float keep them when ONNX Runtime loads the model; returns how many there are.
    ``folder`` has the constants of a large model that lie beside it.

    When ONNX Runtime loads a Conv, ConvTranspose or Gemm between two quantized values, it rounds its float weights to
    8 bits with one scale for all channels. It leaves a layer alone whose bias is no constant
    (onnxruntime/core/optimizer/qdq_transformer/weight_bias_quantization.cc). So such a layer's bias is written as
    32-bit integers, which are as exact as float32; where it has none, as zeros.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    count = 0
    for node in [node for node in graph.node if node.op_type in _TAKEN]:
        maker, weights = makers.get(node.input[0]), tensors.get(node.input[1])
        if maker is None or maker.op_type != "DequantizeLinear":
            continue
        if weights is None or weights.data_type != TensorProto.FLOAT:
            continue
        if len(node.input) > 2 and node.input[2]:
            bias = tensors.get(node.input[2])
            if bias is None or len(bias.dims) != 1:
                continue
            values = numpy_helper.to_array(bias, str(folder))
        else:
            values = np.zeros(channels_of(node, weights.dims), np.float32)
        if not np.isfinite(values).all():
            continue
        integers, step = _in_integers(values)
        names = [fresh_name(model, f"{node.output[0]}_bias_{part}") for part in ("int32", "step", "float")]
        graph.initializer.extend(map(numpy_helper.from_array, (integers, step), names))
        graph.node.insert(0, helper.make_node("DequantizeLinear", names[:2], names[2:], name=names[2]))
        node.input[:] = [*node.input[:2], names[2]]
        count += 1
    if count:
        drop_unused(model)
    return count


def _in_integers(bias: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """A bias [C] as integers [C], and their step []."""
    step = np.maximum(np.abs(bias).max(initial=0.0) / LARGEST_BIAS, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(bias / step.astype(np.float64)).astype(np.int32), np.array(step)
