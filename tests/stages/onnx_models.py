"""Small ONNX graphs that libraries stumble over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.artifact import ONNX_FILE, Artifact


def weight(name: str, *shape: int, scale: float = 0.3) -> onnx.TensorProto:
    values: NDArray[np.float32] = (np.random.default_rng(sum(shape)).standard_normal(shape) * scale).astype(np.float32)
    return numpy_helper.from_array(values, name)


def graph_model(
    nodes: list[onnx.NodeProto],
    x: tuple[int | str, ...],
    y: tuple[int | str, ...],
    weights: list[onnx.TensorProto],
    *,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """A model from x to y."""
    inputs, outputs = ([helper.make_tensor_value_info(name, kind, shape)] for name, shape in (("x", x), ("y", y)))
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def saved(model: onnx.ModelProto, folder: Path) -> Artifact:
    folder.mkdir(parents=True)
    onnx.save(model, folder / ONNX_FILE)
    return Artifact(folder, "onnx", "")


def branching() -> onnx.ModelProto:
    """Both branches of an If read what a Relu and a Clip make; the branches hold products of their own."""

    def branch(name: str) -> onnx.GraphProto:
        nodes = [
            helper.make_node("MatMul", ["r", f"w_{name}"], [f"{name}_m"], name=f"{name}_product"),
            helper.make_node("Add", [f"{name}_m", "c"], [f"{name}_y"], name=f"{name}_sum"),
        ]
        output = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["n", 8])
        return helper.make_graph(nodes, name, [], [output], [weight(f"w_{name}", 32, 8)])

    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w1"], ["b"], name="second"),
        helper.make_node("Clip", ["b", "zero", "six"], ["c"], name="relu6"),
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0, name="most"),
        helper.make_node("Greater", ["most", "zero"], ["positive"], name="greater"),
        helper.make_node("If", ["positive"], ["y"], name="if", then_branch=branch("yes"), else_branch=branch("no")),
    ]
    limits = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("zero", 0), ("six", 6))]
    return graph_model(nodes, ("n", 20), ("n", 8), [weight("w0", 20, 32), weight("w1", 32, 8, scale=2), *limits])


def unnamed_convolutions(opset: int = 17, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """Two convolutions that share a bias, and a Gemm; no node has a name."""
    window: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b"], ["a"], **window),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w1", "b"], ["c"], **window),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["q"], axis=1),
        helper.make_node("Gemm", ["q", "w2", "b2"], ["y"], transB=1),
    ]
    weights = [weight("w0", 8, 3, 3, 3), weight("w1", 8, 8, 3, 3), weight("b", 8, scale=2), weight("w2", 5, 8)]
    weights.append(weight("b2", 5))
    if kind == TensorProto.FLOAT16:
        weights = [
            numpy_helper.from_array(numpy_helper.to_array(each).astype(np.float16), each.name) for each in weights
        ]
    return graph_model(nodes, ("n", 3, 8, 8), ("n", 5), weights, opset=opset, kind=kind)


def experts() -> onnx.ModelProto:
    """A product with three-dimensional weights between two plain ones."""
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"], name="first"),
        helper.make_node("Unsqueeze", ["a", "axis"], ["e"], name="unsqueeze"),
        helper.make_node("MatMul", ["e", "w3"], ["m"], name="experts"),
        helper.make_node("ReduceMean", ["m"], ["mean"], axes=[1, 2], keepdims=0, name="mean"),
        helper.make_node("MatMul", ["mean", "w1"], ["y"], name="last"),
    ]
    weights = [weight("w0", 20, 32), weight("w3", 4, 32, 32), weight("w1", 32, 8)]
    return graph_model(
        nodes, ("n", 6, 20), ("n", 8), [*weights, numpy_helper.from_array(np.array([1], np.int64), "axis")]
    )


def transposed_convolutions() -> onnx.ModelProto:
    """A grouped transposed convolution behind a plain one, both with a bias."""
    window: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w1", "b1"], ["c"], **window),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ConvTranspose", ["r", "w2", "b2"], ["y"], group=2, name="grouped", **window),
    ]
    weights = [weight("w1", 3, 12, 2, 2), weight("b1", 12), weight("w2", 12, 3, 2, 2), weight("b2", 6)]
    return graph_model(nodes, ("n", 3, 8, 8), ("n", 6, 32, 32), weights)


def shared_constants() -> onnx.ModelProto:
    """One square matrix in a MatMul, a transposed Gemm and a plain one; one bias in two Gemms and a sum; the matrix is
    an output, too."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w", "b"], ["g"], transB=1, name="second"),
        helper.make_node("Add", ["g", "b"], ["s"], name="sum"),
        helper.make_node("Relu", ["s"], ["t"], name="another"),
        helper.make_node("Gemm", ["t", "w", "b"], ["y"], name="third"),
    ]
    model = graph_model(nodes, ("n", 16), ("n", 16), [weight("w", 16, 16), weight("b", 16, scale=3)])
    model.graph.output.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [16, 16]))
    return model


def scaled_gemms() -> onnx.ModelProto:
    """Gemms with every attribute that a Gemm may have."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0], name="turn"),
        helper.make_node("Gemm", ["t", "w", "b"], ["a"], transA=1, alpha=0.5, beta=2.0, name="first"),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "v", "b"], ["y"], transB=1, alpha=2.0, beta=0.0, name="second"),
    ]
    weights = [weight("w", 16, 16), weight("v", 16, 16, scale=0.5), weight("b", 16, scale=3)]
    return graph_model(nodes, ("n", 16), ("n", 16), weights)


def masked() -> onnx.ModelProto:
    """A convolution whose negative results are masked with minus infinity before the largest is taken."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("Greater", ["a", "zero"], ["positive"], name="greater"),
        helper.make_node("Where", ["positive", "a", "nothing"], ["z"], name="where"),
        helper.make_node("MaxPool", ["z"], ["p"], kernel_shape=[8, 8], name="pool"),
        helper.make_node("Flatten", ["p"], ["q"], name="flatten"),
        helper.make_node("Max", ["q", "zero"], ["m"], name="max"),
        helper.make_node("Gemm", ["m", "g", "c"], ["y"], name="gemm"),
    ]
    weights = [weight("w", 8, 4, 3, 3), weight("b", 8), weight("g", 8, 5), weight("c", 5)]
    numbers = [
        numpy_helper.from_array(np.array(each, np.float32), name) for name, each in (("zero", 0), ("nothing", -np.inf))
    ]
    return graph_model(nodes, ("n", 4, 8, 8), ("n", 5), [*weights, *numbers])


def tied() -> onnx.ModelProto:
    """A table that an embedding and the last product read."""
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64, name="cast"),
        helper.make_node("Gather", ["table", "i"], ["e"], name="embedding"),
        helper.make_node("ReduceMean", ["e"], ["m"], axes=[1], keepdims=0, name="mean"),
        helper.make_node("Gemm", ["m", "h", "c"], ["a"], name="hidden"),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "table", "d"], ["y"], transB=1, name="head"),
    ]
    weights = [weight("table", 100, 16), weight("h", 16, 16), weight("c", 16), weight("d", 100)]
    return graph_model(nodes, ("n", 12), ("n", 100), weights)


def uneven_channels() -> onnx.ModelProto:
    """A mobile network's block whose channels differ a hundredfold: expansion, a convolution for each channel, both cut
    at 6, and a projection; then a pooling and a classifier behind a grouped convolution."""
    spread = np.geomspace(0.02, 2.0, 16, dtype=np.float32)

    def rows(name: str, *shape: int, factors: Any = 1.0) -> onnx.TensorProto:
        plain = numpy_helper.to_array(weight(name, *shape))
        return numpy_helper.from_array((plain * np.reshape(factors, (-1, 1, 1, 1))).astype(np.float32), name)

    window: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["a"], name="expand", **window),
        helper.make_node("Clip", ["a", "zero", "six"], ["r"], name="relu6"),
        helper.make_node("Conv", ["r", "w1", "b1"], ["c"], name="each", group=16, **window),
        helper.make_node("Clip", ["c", "zero", "six"], ["s"], name="another6"),
        helper.make_node("Conv", ["s", "w2"], ["p"], name="project", kernel_shape=[1, 1]),
        helper.make_node("Conv", ["p", "w3", "b3"], ["g"], name="grouped", group=2, **window),
        helper.make_node("Relu", ["g"], ["t"], name="relu"),
        helper.make_node("GlobalAveragePool", ["t"], ["q"], name="pool"),
        helper.make_node("Conv", ["q", "w4", "b4"], ["k"], name="classify", kernel_shape=[1, 1]),
        helper.make_node("Flatten", ["k"], ["y"], name="flatten"),
    ]
    weights = [
        rows("w0", 16, 3, 3, 3, factors=spread),
        weight("b0", 16, scale=0.05),
        rows("w1", 16, 1, 3, 3, factors=spread[::-1]),
        weight("b1", 16, scale=0.05),
        weight("w2", 8, 16, 1, 1),
        weight("w3", 8, 4, 3, 3),
        weight("b3", 8),
        weight("w4", 5, 8, 1, 1),
        weight("b4", 5),
        *(numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("zero", 0), ("six", 6))),
    ]
    return graph_model(nodes, ("n", 3, 8, 8), ("n", 5), weights)
