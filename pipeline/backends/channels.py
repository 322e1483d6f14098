"""The output channels of a model's convolutions, which a processor's vectors hold well or badly."""

from __future__ import annotations

from pipeline.artifact import Artifact


def onnx_channels(artifact: Artifact) -> list[int]:
    """The output channels of an ONNX model's convolutions, without depthwise ones."""
    import onnx

    graph = onnx.load(artifact.onnx_path, load_external_data=False).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    restored = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    weights = [restored.get(node.input[1], node.input[1]) for node in graph.node if node.op_type == "Conv"]
    return [shapes[name][0] for name in weights if name in shapes and shapes[name][1] > 1]
