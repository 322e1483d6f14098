"""The output channels of a model's convolutions, which a processor's vectors hold well or badly."""

from __future__ import annotations

from pipeline.artifact import Artifact
from pipeline.artifact.openvino_file import channels, read_graph


def channels_of(artifact: Artifact) -> list[int]:
    """The output channels of the convolutions of a model in ONNX or OpenVINO's format, without depthwise ones."""
    if artifact.format == "openvino":
        return channels(read_graph(artifact.openvino_path))
    import onnx

    graph = onnx.load(artifact.onnx_path, load_external_data=False).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    restored = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    weights = [restored.get(node.input[1], node.input[1]) for node in graph.node if node.op_type == "Conv"]
    return [shapes[name][0] for name in weights if name in shapes and shapes[name][1] > 1]
