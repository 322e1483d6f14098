"""How ONNX files are written: opsets, declared shapes, names, the order of nodes, batches."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto as T
from onnx import numpy_helper as nh

from tests.cases.making import Make, constant, constant_node, conv, node, value


def constant_nodes(make: Make) -> None:
    """Weights in Constant nodes, as the older exporter and PaddlePaddle write them."""
    f = T.FLOAT
    nodes = [
        constant_node(make.weight("w0", 64, 128)),
        constant_node(make.weight("b0", 128)),
        constant_node(make.weight("w1", 128, 10)),
        node("MatMul", ["x", "w0"], ["a"]),
        node("Add", ["a", "b0"], ["ab"]),
        node("Relu", ["ab"], ["ar"]),
        node("MatMul", ["ar", "w1"], ["y"]),
    ]
    make.save(nodes, [value("x", f, ["n", 64])], [value("y", f, ["n", 10])], [])
    make.data(x=make.noise(200, 64), labels=make.rng.integers(0, 10, 200))


def fixed_batch4(make: Make) -> None:
    """A batch fixed at 4, asked for batch sizes 1 and 4."""
    f = T.FLOAT
    nodes = [
        conv(["x", "w0", "b0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("GlobalAveragePool", ["ar"], ["p"]),
        node("Reshape", ["p", "s"], ["q"]),
        node("Gemm", ["q", "w1", "b1"], ["y"], transB=1),
    ]
    make.save(
        nodes,
        [value("x", f, [4, 3, 16, 16])],
        [value("y", f, [4, 10])],
        [
            make.weight("w0", 16, 3, 3, 3),
            make.weight("b0", 16),
            make.weight("w1", 10, 16),
            make.weight("b1", 10),
            constant("s", [4, 16], np.int64),
        ],
    )
    make.data(x=make.noise(203, 3, 16, 16), labels=make.rng.integers(0, 10, 203))


def minus_one_dim(make: Make) -> None:
    """A free batch written as the number -1, as some converters do."""
    f = T.FLOAT
    nodes = [node("MatMul", ["x", "w0"], ["a"]), node("Relu", ["a"], ["ar"]), node("MatMul", ["ar", "w1"], ["y"])]
    make.save(
        nodes,
        [value("x", f, [-1, 20])],
        [value("y", f, [-1, 8])],
        [make.weight("w0", 20, 32), make.weight("w1", 32, 8)],
    )
    make.data(x=make.noise(200, 20), labels=make.rng.integers(0, 8, 200))


def no_shape(make: Make) -> None:
    """An input without a declared shape."""
    f = T.FLOAT
    nodes = [node("MatMul", ["x", "w0"], ["a"]), node("Relu", ["a"], ["ar"]), node("MatMul", ["ar", "w1"], ["y"])]
    make.save(
        nodes, [value("x", f, None)], [value("y", f, None)], [make.weight("w0", 20, 32), make.weight("w1", 32, 8)]
    )
    make.data(x=make.noise(200, 20), labels=make.rng.integers(0, 8, 200))


def opset11(make: Make) -> None:
    """A convolution network of opset 11 (per-channel Q/DQ begins at 13)."""
    f = T.FLOAT
    nodes = [
        conv(["x", "w0", "b0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("GlobalAveragePool", ["ar"], ["p"]),
        node("Flatten", ["p"], ["q"], axis=1),
        node("Gemm", ["q", "w1", "b1"], ["y"], transB=1),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 3, 16, 16])],
        [value("y", f, ["n", 10])],
        [make.weight("w0", 16, 3, 3, 3), make.weight("b0", 16), make.weight("w1", 10, 16), make.weight("b1", 10)],
        opset=11,
        ir=6,
    )
    make.data(x=make.noise(200, 3, 16, 16), labels=make.rng.integers(0, 10, 200))


def opset9_inputs(make: Make) -> None:
    """Opset 9, IR 3: weights listed among the inputs, Upsample, BatchNormalization."""
    f = T.FLOAT
    nodes = [
        conv(["x", "w0"], ["a"]),
        node("BatchNormalization", ["a", "s", "b", "m", "v"], ["bn"]),
        node("Relu", ["bn"], ["ar"]),
        node("Upsample", ["ar", "sc"], ["u"], mode="nearest"),
        node("GlobalAveragePool", ["u"], ["p"]),
        node("Flatten", ["p"], ["q"], axis=1),
        node("Gemm", ["q", "w1", "b1"], ["y"], transB=1),
    ]
    weights = [
        make.weight("w0", 16, 3, 3, 3),
        make.weight("s", 16),
        make.weight("b", 16),
        make.weight("m", 16),
        nh.from_array(np.ones(16, np.float32), "v"),
        nh.from_array(np.array([1, 1, 2, 2], np.float32), "sc"),
        make.weight("w1", 10, 16),
        make.weight("b1", 10),
    ]
    listed = [value(t.name, t.data_type, list(t.dims)) for t in weights]
    make.save(nodes, [value("x", f, ["n", 3, 16, 16]), *listed], [value("y", f, ["n", 10])], weights, opset=9, ir=3)
    make.data(x=make.noise(200, 3, 16, 16), labels=make.rng.integers(0, 10, 200))


def reshape_one(make: Make) -> None:
    """The batch is declared free, but a Reshape inside has 1 written in: it runs with a batch of 1 alone."""
    f = T.FLOAT
    nodes = [
        conv(["x", "w0", "b0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("GlobalAveragePool", ["ar"], ["p"]),
        node("Reshape", ["p", "s"], ["q"]),
        node("Gemm", ["q", "w1", "b1"], ["y"], transB=1),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 3, 16, 16])],
        [value("y", f, ["n", 10])],
        [
            make.weight("w0", 16, 3, 3, 3),
            make.weight("b0", 16),
            make.weight("w1", 10, 16),
            make.weight("b1", 10),
            constant("s", [1, 16], np.int64),
        ],
    )
    make.data(x=make.noise(200, 3, 16, 16), labels=make.rng.integers(0, 10, 200))


def unnamed_exclude(make: Make) -> None:
    """Nodes without names (many exporters give none), one operator type excluded from int8."""
    f = T.FLOAT
    nodes = [
        conv(["x", "w0", "b0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        conv(["ar", "w3", "b0"], ["c"]),
        node("Relu", ["c"], ["cr"]),
        node("GlobalAveragePool", ["cr"], ["p"]),
        node("Flatten", ["p"], ["q"], axis=1),
        node("Gemm", ["q", "w1", "b1"], ["y"], transB=1),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 3, 16, 16])],
        [value("y", f, ["n", 10])],
        [
            make.weight("w0", 16, 3, 3, 3),
            make.weight("b0", 16),
            make.weight("w3", 16, 16, 3, 3),
            make.weight("w1", 10, 16),
            make.weight("b1", 10),
        ],
    )
    make.data(x=make.noise(200, 3, 16, 16), labels=make.rng.integers(0, 10, 200))


def unsorted_nodes(make: Make) -> None:
    """Nodes not in topological order: ONNX Runtime sorts them."""
    f = T.FLOAT
    nodes = [node("MatMul", ["ar", "w1"], ["y"]), node("Relu", ["a"], ["ar"]), node("MatMul", ["x", "w0"], ["a"])]
    make.save(
        nodes,
        [value("x", f, ["n", 20])],
        [value("y", f, ["n", 8])],
        [make.weight("w0", 20, 32), make.weight("w1", 32, 8)],
    )
    make.data(x=make.noise(200, 20), labels=make.rng.integers(0, 8, 200))


def wrong_declared_shape(make: Make) -> None:
    """The declared output shape is not what comes out: ONNX Runtime warns and runs."""
    f = T.FLOAT
    nodes = [node("MatMul", ["x", "w0"], ["a"]), node("Relu", ["a"], ["ar"]), node("MatMul", ["ar", "w1"], ["y"])]
    make.save(
        nodes,
        [value("x", f, ["n", 20])],
        [value("y", f, [1, 7])],
        [make.weight("w0", 20, 32), make.weight("w1", 32, 8)],
    )
    make.data(x=make.noise(200, 20), labels=make.rng.integers(0, 8, 200))
