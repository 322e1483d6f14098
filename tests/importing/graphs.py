"""Small ONNX graphs as people bring them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def value(name: str, shape: Sequence[int | str | None] | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    seed = sum(map(ord, name))
    return numpy_helper.from_array(np.random.default_rng(seed).normal(size=shape).astype(np.float32), name)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
    ir: int = 8,
    domains: Mapping[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
    **more: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(weights), **more)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*entry) for entry in (domains or {}).items())]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir, functions=list(functions))


def save(made: onnx.ModelProto, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    return folder


def numbers(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def two_layers(**changes: Any) -> onnx.ModelProto:
    """y = relu(x · w0) · w1, without names of nodes."""
    fields: dict[str, Any] = {
        "nodes": [
            helper.make_node("MatMul", ["x", "w0"], ["a"]),
            helper.make_node("Relu", ["a"], ["r"]),
            helper.make_node("MatMul", ["r", "w1"], ["y"]),
        ],
        "inputs": [value("x", ["n", 6])],
        "outputs": [value("y", ["n", 3])],
        "weights": [weight("w0", 6, 5), weight("w1", 5, 3)],
    }
    return model(**{**fields, **changes})


def branches(inner_sorted: bool = False) -> onnx.ModelProto:
    """An If whose branches name their values alike, have constants and read an outer value; its nodes are not sorted.

    ONNX Runtime sorts the nodes of the graph, and not those in the branches.
    """

    def branch(scale: float) -> onnx.GraphProto:
        constant = helper.make_node(
            "Constant", [], ["k"], value=numpy_helper.from_array(np.array(scale, np.float32), "k")
        )
        nodes = [
            helper.make_node("Mul", ["s", "k"], ["out"]),
            helper.make_node("Relu", ["a"], ["s"]),
            constant,
        ]
        return helper.make_graph(nodes[::-1] if inner_sorted else nodes, "branch", [], [value("out", None)])

    nodes = [
        helper.make_node("If", ["positive"], ["y"], then_branch=branch(2.0), else_branch=branch(3.0)),
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Greater", ["total", "zero"], ["positive"]),
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
    ]
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    return model(nodes, [value("x", ["n", 6])], [value("y", ["n", 3])], [weight("w0", 6, 3), zero])
