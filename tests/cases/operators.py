"""ONNX files with operators that stages stumble over."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from tests.cases.making import Make, constant, conv, half, node, value


def concat_qoperator(make: Make) -> None:
    """A dense block (concatenations), static int8 as QOperator."""
    f = T.FLOAT
    nodes = [
        conv(["x", "w0", "b"], ["a"], name="c0"),
        node("Relu", ["a"], ["r"], name="r0"),
        node("Concat", ["r"], ["k0"], axis=1, name="one"),
        conv(["k0", "w1", "b"], ["c"], name="c1"),
        node("Concat", ["r", "c"], ["k"], axis=1, name="two"),
        node("GlobalAveragePool", ["k"], ["g"], name="p"),
        node("Flatten", ["g"], ["q"], name="fl"),
        node("Gemm", ["q", "w2", "b2"], ["y"], transB=1, name="fc"),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 3, 16, 16])],
        [value("y", f, ["n", 10])],
        [
            make.weight("w0", 8, 3, 3, 3),
            make.weight("w1", 8, 8, 3, 3),
            make.weight("b", 8),
            make.weight("w2", 10, 16),
            make.weight("b2", 10),
        ],
    )
    make.data(x=make.noise(200, 3, 16, 16), labels=make.rng.integers(0, 10, 200))


def convtranspose(make: Make) -> None:
    """ConvTranspose with bias, plain and grouped, per channel."""
    f = T.FLOAT
    nodes = [
        conv(["x", "w0", "b0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("ConvTranspose", ["ar", "w1", "b1"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Relu", ["c"], ["cr"]),
        node("ConvTranspose", ["cr", "w2", "b2"], ["y"], kernel_shape=[2, 2], strides=[2, 2], group=2),
    ]
    # channels of very different size
    w1 = make.rng.standard_normal((8, 12, 2, 2)) * np.geomspace(0.01, 2, 12)[None, :, None, None]
    make.save(
        nodes,
        [value("x", f, ["n", 3, 8, 8])],
        [value("y", f, ["n", 6, 32, 32])],
        [
            make.weight("w0", 8, 3, 3, 3),
            make.weight("b0", 8),
            nh.from_array(w1.astype(np.float32), "w1"),
            make.weight("b1", 12),
            make.weight("w2", 12, 3, 2, 2),
            make.weight("b2", 6),
        ],
    )
    make.data(x=make.noise(200, 3, 8, 8))


def fp16_cast_resize_topk(make: Make) -> None:
    """float16 of a graph with Cast to float, Resize, TopK, Range, unnamed nodes."""
    f = T.FLOAT
    nodes = [
        node("Cast", ["img"], ["x"], to=f),
        node("Mul", ["x", "k"], ["xs"]),
        conv(["xs", "w0", "b0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("Resize", ["ar", "", "sc"], ["r1"], mode="linear"),
        node("Resize", ["r1", "", "", "sz"], ["r2"], mode="nearest"),
        node("ReduceMean", ["r2"], ["q"], axes=[2, 3], keepdims=0),
        node("Gemm", ["q", "w1", "b1"], ["l"], transB=1),
        node("TopK", ["l", "kk"], ["v", "i"], axis=1),
        node("Cast", ["i"], ["if"], to=f),
        node("Concat", ["l", "v", "if"], ["y"], axis=1),
    ]
    model = make.save(
        nodes,
        [value("img", T.UINT8, ["n", 3, 16, 16])],
        [value("y", f, ["n", 16])],
        [
            make.weight("w0", 16, 3, 3, 3),
            make.weight("b0", 16),
            make.weight("w1", 10, 16),
            make.weight("b1", 10),
            constant("k", 1 / 255, np.float32),
            constant("sc", [1, 1, 2, 2], np.float32),
            constant("sz", [4, 16, 24, 24], np.int64),
            constant("kk", [3], np.int64),
        ],
    )
    model.graph.initializer[6].CopyFrom(constant("sz", [1, 16, 24, 24], np.int64))
    model.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_param")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim[0].ClearField("dim_param")
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, make.out / "model.onnx")
    make.data(img=make.rng.integers(0, 256, (120, 3, 16, 16)).astype(np.uint8))


def fp16_inputs(make: Make) -> None:
    """A model in float16 from end to end, as exported from .half()."""
    f = T.FLOAT16
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
        [
            half(make.weight("w0", 16, 3, 3, 3)),
            half(make.weight("b0", 16)),
            half(make.weight("w1", 10, 16)),
            half(make.weight("b1", 10)),
        ],
    )
    make.data(x=make.rng.standard_normal((200, 3, 16, 16)).astype(np.float16), labels=make.rng.integers(0, 10, 200))


def gru_only(make: Make) -> None:
    """A GRU classifier with one output."""
    f = T.FLOAT
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("GRU", ["t", "W", "R", "B"], ["", "hn"], hidden_size=32),
        node("Squeeze", ["hn", "ax"], ["h0"]),
        node("Gemm", ["h0", "w1", "b1"], ["y"], transB=1),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 12, 16])],
        [value("y", f, ["n", 5])],
        [
            make.weight("W", 1, 96, 16),
            make.weight("R", 1, 96, 32),
            make.weight("B", 1, 192),
            make.weight("w1", 5, 32),
            make.weight("b1", 5),
            nh.from_array(np.array([0], np.int64), "ax"),
        ],
    )
    make.data(x=make.noise(200, 12, 16), labels=make.rng.integers(0, 5, 200))


def gru_state(make: Make) -> None:
    """A GRU with two outputs: scores [N, C] and the last state [1, N, H], whose batch is axis 1."""
    f = T.FLOAT
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("GRU", ["t", "W", "R", "B"], ["", "hn"], hidden_size=32),
        node("Squeeze", ["hn", "ax"], ["h0"]),
        node("Gemm", ["h0", "w1", "b1"], ["y"], transB=1),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 12, 16])],
        [value("y", f, ["n", 5]), value("hn", f, [1, "n", 32])],
        [
            make.weight("W", 1, 96, 16),
            make.weight("R", 1, 96, 32),
            make.weight("B", 1, 192),
            make.weight("w1", 5, 32),
            make.weight("b1", 5),
            nh.from_array(np.array([0], np.int64), "ax"),
        ],
    )
    make.data(x=make.noise(200, 12, 16), labels=make.rng.integers(0, 5, 200))


def loop_weights(make: Make) -> None:
    """A Loop whose body has weights of its own and a float state."""
    f = T.FLOAT
    body = h.make_graph(
        [node("MatMul", ["s_in", "wl"], ["m"]), node("Tanh", ["m"], ["s_out"]), node("Identity", ["c_in"], ["c_out"])],
        "body",
        [value("i", T.INT64, []), value("c_in", T.BOOL, []), value("s_in", f, ["n", 32])],
        [value("c_out", T.BOOL, []), value("s_out", f, ["n", 32])],
        [make.weight("wl", 32, 32)],
    )
    nodes = [
        node("MatMul", ["x", "w0"], ["a"]),
        node("Loop", ["trip", "cond", "a"], ["s"], body=body),
        node("MatMul", ["s", "w1"], ["y"]),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 20])],
        [value("y", f, ["n", 8])],
        [
            make.weight("w0", 20, 32),
            make.weight("w1", 32, 8),
            nh.from_array(np.array(4, np.int64), "trip"),
            nh.from_array(np.array(True), "cond"),
        ],
    )
    make.data(x=make.noise(200, 20), labels=make.rng.integers(0, 8, 200))


def matmul_3d(make: Make) -> None:
    """Products with three-dimensional weights (mixture of experts, grouped heads)."""
    f = T.FLOAT
    nodes = [
        node("MatMul", ["x", "w0"], ["a"], name="first"),
        node("Relu", ["a"], ["ar"]),
        node("Unsqueeze", ["ar", "one"], ["e"]),
        node("MatMul", ["e", "w3"], ["m"], name="experts"),
        node("ReduceMean", ["m"], ["mm"], axes=[1, 2], keepdims=0),
        node("MatMul", ["mm", "w1"], ["y"], name="last"),
    ]
    nodes[2].input[1] = "axes"
    make.save(
        nodes,
        [value("x", f, ["n", 6, 20])],
        [value("y", f, ["n", 8])],
        [
            make.weight("w0", 20, 32),
            make.weight("w3", 4, 32, 32),
            make.weight("w1", 32, 8),
            constant("axes", [1], np.int64),
        ],
    )
    make.data(x=make.noise(200, 6, 20), labels=make.rng.integers(0, 8, 200))


def nhwc_uint8(make: Make) -> None:
    """Camera pixels: uint8, NHWC, cast and transposed in the model."""
    f = T.FLOAT
    nodes = [
        node("Cast", ["img"], ["xf"], to=f),
        node("Sub", ["xf", "mean"], ["xm"]),
        node("Mul", ["xm", "k"], ["xs"]),
        node("Transpose", ["xs"], ["x"], perm=[0, 3, 1, 2]),
        conv(["x", "w0", "b0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("GlobalAveragePool", ["ar"], ["p"]),
        node("Flatten", ["p"], ["q"], axis=1),
        node("Gemm", ["q", "w1", "b1"], ["y"], transB=1),
    ]
    make.save(
        nodes,
        [value("img", T.UINT8, ["n", 16, 16, 3])],
        [value("y", f, ["n", 10])],
        [
            make.weight("w0", 16, 3, 3, 3),
            make.weight("b0", 16),
            make.weight("w1", 10, 16),
            make.weight("b1", 10),
            constant("mean", [123, 116, 103], np.float32),
            constant("k", 1 / 58, np.float32),
        ],
    )
    make.data(img=make.rng.integers(0, 256, (200, 16, 16, 3)).astype(np.uint8), labels=make.rng.integers(0, 10, 200))


def nms(make: Make) -> None:
    """A detector that ends in NonMaxSuppression: its boxes are not one row an example."""
    f = T.FLOAT
    nodes = [
        conv(["x", "w0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("Conv", ["ar", "w1"], ["bx"], kernel_shape=[1, 1]),
        node("Reshape", ["bx", "s1"], ["b4"]),
        node("Transpose", ["b4"], ["boxes"], perm=[0, 2, 1]),
        node("Conv", ["ar", "w2"], ["cx"], kernel_shape=[1, 1]),
        node("Reshape", ["cx", "s2"], ["c5"]),
        node("Sigmoid", ["c5"], ["scores"]),
        node("NonMaxSuppression", ["boxes", "scores", "mo", "iou", "st"], ["picked"]),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 3, 16, 16])],
        [value("picked", T.INT64, ["k", 3])],
        [
            make.weight("w0", 16, 3, 3, 3),
            make.weight("w1", 4, 16, 1, 1),
            make.weight("w2", 5, 16, 1, 1),
            constant("s1", [0, 4, -1], np.int64),
            constant("s2", [0, 5, -1], np.int64),
            constant("mo", [10], np.int64),
            constant("iou", [0.5], np.float32),
            constant("st", [0.5], np.float32),
        ],
    )
    make.data(x=make.noise(100, 3, 16, 16))


def relu_read_by_if(make: Make) -> None:
    """Several activations (Relu, Clip) in front of values that a subgraph reads too, with names."""
    f = T.FLOAT

    def branch(name: str) -> onnx.GraphProto:
        return h.make_graph(
            [
                node("MatMul", ["ar", f"w_{name}"], [f"{name}_m"], name=f"{name}_mm"),
                node("Add", [f"{name}_m", "cr"], [f"{name}_y"], name=f"{name}_add"),
            ],
            name,
            [],
            [value(f"{name}_y", f, ["n", 8])],
            [make.weight(f"w_{name}", 32, 8)],
        )

    nodes = [
        node("MatMul", ["x", "w0"], ["a"], name="m0"),
        node("Relu", ["a"], ["ar"], name="relu"),
        node("MatMul", ["ar", "w1"], ["b"], name="m1"),
        node("Clip", ["b", "zero", "six"], ["cr"], name="relu6"),
        node("ReduceMax", ["x"], ["most"], keepdims=0, name="max"),
        node("Greater", ["most", "zero"], ["c"], name="gt"),
        node("If", ["c"], ["y"], name="if", then_branch=branch("yes"), else_branch=branch("no")),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 20])],
        [value("y", f, ["n", 8])],
        [
            make.weight("w0", 20, 32),
            make.weight("w1", 32, 8, scale=2),
            constant("zero", 0, np.float32),
            constant("six", 6, np.float32),
        ],
    )
    make.data(x=make.noise(300, 20))


def special_ops(make: Make) -> None:
    """InstanceNormalization, LayerNormalization, PRelu, grouped Conv, HardSwish, Softmax head, one shared bias."""
    f = T.FLOAT
    nodes = [
        conv(["x", "w0", "b"], ["a"]),
        node("InstanceNormalization", ["a", "s", "b"], ["n1"]),
        node("PRelu", ["n1", "pr"], ["r1"]),
        conv(["r1", "w1", "b"], ["c"], group=16),
        node("HardSwish", ["c"], ["hs"]),
        conv(["hs", "w1", "b"], ["d"], group=16),
        node("Add", ["d", "r1"], ["e"]),
        node("GlobalAveragePool", ["e"], ["g"]),
        node("Flatten", ["g"], ["q"]),
        node("LayerNormalization", ["q", "s", "b"], ["ln"]),
        node("Gemm", ["ln", "w2", "b2"], ["l"], transB=1),
        node("Softmax", ["l"], ["y"]),
    ]
    make.save(
        nodes,
        [value("x", f, ["n", 3, 16, 16])],
        [value("y", f, ["n", 10])],
        [
            make.weight("w0", 16, 3, 3, 3),
            make.weight("w1", 16, 1, 3, 3),
            make.weight("b", 16),
            make.weight("s", 16),
            make.weight("pr", 16, 1, 1),
            make.weight("w2", 10, 16, scale=2),
            make.weight("b2", 10),
        ],
    )
    make.data(x=make.noise(300, 3, 16, 16))


def tied_embedding(make: Make) -> None:
    """An embedding whose table is the last product's weight, too."""
    f = T.FLOAT
    e = make.weight("emb", 200, 32)
    nodes = [
        node("Gather", ["emb", "ids"], ["t"]),
        node("ReduceMean", ["t"], ["m"], axes=[1], keepdims=0),
        node("MatMul", ["m", "w0"], ["a"]),
        node("Relu", ["a"], ["ar"]),
        node("Transpose", ["emb"], ["et"], perm=[1, 0]),
        node("MatMul", ["ar", "et"], ["y"]),
    ]
    make.save(nodes, [value("ids", T.INT64, ["n", 12])], [value("y", f, ["n", 200])], [e, make.weight("w0", 32, 32)])
    make.data(ids=make.rng.integers(0, 200, (300, 12)), labels=make.rng.integers(0, 200, 300))


def qdq_again(make: Make) -> None:
    """A model that is quantized (Q/DQ) already."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

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
    )
    x = make.noise(200, 3, 16, 16)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.it = iter([{"x": x[:32]}])

        def get_next(self) -> Any:
            return next(self.it, None)

    (make.out / "model.onnx").rename(make.out / "float.onnx")
    quantize_static(make.out / "float.onnx", make.out / "model.onnx", Reader(), quant_format=QuantFormat.QDQ)
    make.data(x=x, labels=make.rng.integers(0, 10, 200))


def bf16_model(make: Make) -> None:
    """Weights and computation in bfloat16 behind a Cast."""
    f = T.BFLOAT16
    make.save(
        [node("MatMul", ["x", "w0"], ["y"])],
        [value("x", f, ["n", 16])],
        [value("y", f, ["n", 5])],
        [h.make_tensor("w0", f, [16, 5], make.rng.standard_normal(80).tolist())],
    )
    make.data(x=make.noise(200, 16))
