"""Traps in how a file is written: opsets, weights, subgraphs, functions, domains, quantized files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import external_data_helper, helper

from tests.battery.making import Make, Weight, floats, ints

XY = "(float[n,8] x) => (float[n,3] y)"
LAYERS = "h = MatMul(x, w)\n r = Relu(h)\n y = MatMul(r, v)"
PICTURE = "(float[n,3,8,8] x) => (float[n,4] y)"


def constants_as_weights(make: Make) -> None:
    """The weights are results of Constant nodes, and one is reshaped first."""

    def hold(model: onnx.ModelProto) -> None:
        graph = model.graph
        nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in graph.initializer]
        nodes += list(graph.node)
        del graph.initializer[:], graph.node[:]
        graph.node.extend(nodes)

    body = "v = Reshape(f, s)\n h = MatMul(x, w)\n r = Relu(h)\n y = MatMul(r, v)"
    make.graph(XY, body, {"w": (8, 16), "f": (48,), "s": ints(16, 3)}, change=hold)


def shared_weight(make: Make) -> None:
    """One weight of two layers."""
    make.graph("(float[n,8] x) => (float[n,8] y)", "h = MatMul(x, w)\n r = Relu(h)\n y = MatMul(r, w)", {"w": (8, 8)})


def weights_among_the_inputs(make: Make) -> None:
    """A file of an old format lists its weights among the inputs."""

    def list_them(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            model.graph.input.append(value)

    make.graph(XY, LAYERS, {"w": (8, 16), "v": (16, 3)}, opset=9, ir=3, change=list_them)


def unused_results(make: Make) -> None:
    """Nodes and outputs of nodes that nothing reads."""
    body = "h = MatMul(x, w)\n v0, i0 = TopK(h, k)\n dead = Sin(h)\n y, m = Dropout(h)"
    make.graph(XY, body, {"w": (8, 3), "k": ints(2)})


def opset_7(make: Make) -> None:
    """A network of opset 7: BatchNormalization with spatial, Upsample's time."""
    body = """c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w)
        b = BatchNormalization(c, s, o, m, q)
        r = Relu(b)
        p = AveragePool<kernel_shape=[8,8]>(r)
        y = Reshape(p, z)"""
    channels = {"s": floats(1, 2, 1, 1), "o": floats(0, 0, 1, 1), "m": floats(0, 0, 0, 1), "q": floats(1, 1, 2, 1)}
    make.graph(PICTURE, body, {"w": (4, 3, 3, 3), "z": ints(0, -1), **channels}, opset=7, ir=3)


def opset_9(make: Make) -> None:
    """A network of opset 9 with Upsample."""
    body = """c = Conv<kernel_shape=[3,3]>(x, w)
        u = Upsample<mode="nearest">(c, s)
        g = GlobalAveragePool(u)
        y = Flatten(g)"""
    make.graph(PICTURE, body, {"w": (4, 3, 3, 3), "s": floats(1, 1, 2, 2)}, opset=9, ir=4)


def opset_11(make: Make) -> None:
    """Opset 11: axes as attributes, Clip with inputs."""
    body = """h = MatMul(x, w)
        c = Clip(h, low, high)
        u = Unsqueeze<axes=[1]>(c)
        q = Squeeze<axes=[1]>(u)
        y = Softmax<axis=1>(q)"""
    make.graph(XY, body, {"w": (8, 3), "low": np.float32(-1), "high": np.float32(1)}, opset=11, ir=6)


def opset_13(make: Make) -> None:
    """Opset 13: Split and ReduceSum with sizes as inputs."""
    body = "h = MatMul(x, w)\n a, b = Split<axis=1>(h, s)\n p = Mul(a, b)\n y = MatMul(p, v)"
    make.graph(XY, body, {"w": (8, 8), "s": ints(4, 4), "v": (4, 3)}, opset=13, ir=7)


def opset_21(make: Make) -> None:
    """Opset 21 with GroupNormalization."""
    body = """c = Conv<pads=[1,1,1,1]>(x, w)
        g = GroupNormalization<num_groups=2>(c, s, b)
        r = Relu(g)
        p = GlobalAveragePool(r)
        y = Flatten(p)"""
    make.graph(PICTURE, body, {"w": (4, 3, 3, 3), "s": floats(1, 1, 2, 1), "b": floats(0, 1, 0, 0)}, opset=21, ir=10)


def newer_format(make: Make) -> None:
    """A file whose format is newer than its operators need."""
    make.graph(XY, LAYERS, {"w": (8, 16), "v": (16, 3)}, opset=18, ir=onnx.IR_VERSION)


def branches(make: Make) -> None:
    """An If whose branches read values from outside, and have weights of their own."""
    body = """h = MatMul(x, w)
        m = ReduceMean<keepdims=0>(h)
        c = Greater(m, zero)
        z = If(c) <
            then_branch = a () => (float[n,3] p) { p = MatMul(h, v) },
            else_branch = b () => (float[n,3] q) { t = Neg(h)
                q = MatMul(t, v) }>
        y = Relu(z)"""
    make.graph(XY, body, {"w": (8, 16), "v": (16, 3), "zero": np.float32(100)})


def loop(make: Make) -> None:
    """A Loop that multiplies three times with a weight from outside."""
    body = """k = Constant<value_int=3>()
        t = Constant<value = bool {1}>()
        h = Loop(k, t, x) <body = b (int64 i, bool c, float[n,8] s) => (bool d, float[n,8] r) {
            d = Identity(c)
            m = MatMul(s, u)
            r = Tanh(m) }>
        y = MatMul(h, w)"""
    make.graph(XY, body, {"u": (8, 8), "w": (8, 3)})


def scan(make: Make) -> None:
    """A Scan over the tokens of a sequence."""
    body = """t = Transpose<perm=[1,0,2]>(x)
        zero = ReduceSum<keepdims=0>(t, a)
        h, ys = Scan(zero, t) <num_scan_inputs=1, body = b (float[n,8] s, float[n,8] e)
            => (float[n,8] r, float[n,8] o) {
            j = Add(s, e)
            r = Tanh(j)
            o = Identity(r) }>
        y = MatMul(h, w)"""
    make.graph("(float[n,5,8] x) => (float[n,3] y)", body, {"a": ints(0), "w": (8, 3)})


def local_functions(make: Make) -> None:
    """A layer that is a function of the file, called twice, with an attribute."""
    functions = """<domain: "local", opset_import: ["" : 18]>
        layer <alpha>(a, k) => (b) { h = MatMul(a, k)
            b = LeakyRelu<alpha: float = @alpha>(h) }"""
    body = "h = local.layer<alpha=0.1>(x, w)\n y = local.layer<alpha=0.5>(h, v)"
    make.graph(XY, body, {"w": (8, 16), "v": (16, 3)}, domains={"local": 1}, functions=functions)


def contributed_operators(make: Make) -> None:
    """Operators of ONNX Runtime's own domain, which no other runtime has."""
    body = "h = com.microsoft.FusedMatMul<alpha=0.5>(x, w)\n g = com.microsoft.BiasGelu(h, b)\n y = MatMul(g, v)"
    make.graph(XY, body, {"w": (8, 16), "b": (16,), "v": (16, 3)}, domains={"com.microsoft": 1})


def quantized_with_pairs(make: Make) -> None:
    """A file that is quantized already, with Q/DQ pairs."""
    body = """xq = QuantizeLinear(x, s, z)
        xd = DequantizeLinear(xq, s, z)
        wd = DequantizeLinear(w, t, o)
        h = MatMul(xd, wd)
        hq = QuantizeLinear(h, s, z)
        y = DequantizeLinear(hq, s, z)"""
    weight = make.rng.integers(-127, 128, (8, 3)).astype(np.int8)
    scales: Mapping[str, Weight] = {"s": np.float32(0.05), "z": np.uint8(128), "t": np.float32(0.01), "o": np.int8(0)}
    make.graph(XY, body, {"w": weight, **scales})


def quantized_operators(make: Make) -> None:
    """A file that is quantized already, with QLinearMatMul."""
    body = "xq = QuantizeLinear(x, s, z)\n h = QLinearMatMul(xq, s, z, w, t, o, s, z)\n y = DequantizeLinear(h, s, z)"
    weight = make.rng.integers(-127, 128, (8, 3)).astype(np.int8)
    scales: Mapping[str, Weight] = {"s": np.float32(0.05), "z": np.uint8(128), "t": np.float32(0.01), "o": np.int8(0)}
    make.graph(XY, body, {"w": weight, **scales})


def weights_in_a_subfolder(make: Make) -> None:
    """The weights lie in a file of their own, in a folder below."""
    model = make.graph(XY, LAYERS, {"w": (8, 160), "v": (160, 3)})
    (make.folder / "weights").mkdir()
    external_data_helper.convert_model_to_external_data(model, location="weights/all.bin", size_threshold=0)
    onnx.save(model, make.path)


def empty_optional_inputs(make: Make) -> None:
    """Optional inputs that are left out in the middle: Resize without roi, Clip without a low end."""
    body = """c = Conv(x, w)
        u = Resize<mode="nearest">(c, "", s)
        k = Clip(u, "", high)
        g = GlobalAveragePool(k)
        y = Flatten(g)"""
    make.graph(PICTURE, body, {"w": (4, 3, 3, 3), "s": floats(1, 1, 2, 2), "high": np.float32(1)})


def nan_and_infinity(make: Make) -> None:
    """An infinite constant that hides scores, and a NaN that nothing chooses."""
    body = """h = MatMul(x, w)
        k = Where(m, h, bad)
        t = Where(m, h, low)
        y = Softmax(t)
        z = Where(m, k, h)"""
    mask, low = np.array([True, True, False]), np.float32(-np.inf)
    make.graph(XY, body, {"w": (8, 3), "m": mask, "low": low, "bad": np.float32(np.nan)})


def huge_weights(make: Make) -> None:
    """Weights near the largest float32, divided out later."""
    body = "h = MatMul(x, w)\n y = Mul(h, k)"
    make.graph(XY, body, {"w": make.normal(8, 3, scale=1e36), "k": np.float32(1e-36)})


def big_bias(make: Make) -> None:
    """A bias a thousand times as large as what it is added to."""
    make.graph(XY, "y = Gemm(x, w, b)", {"w": (8, 3), "b": floats(1000, -2000, 500)})


def no_parameters(make: Make) -> None:
    """A model without weights."""
    make.graph("(float[n,8] x) => (float[n,8] y)", "s = Sigmoid(x)\n y = Mul(x, s)")


def no_names(make: Make) -> None:
    """Two nodes of one name, and the rest without one."""

    def name(model: onnx.ModelProto) -> None:
        model.graph.node[0].name = model.graph.node[2].name = "same"

    make.graph(XY, LAYERS, {"w": (8, 16), "v": (16, 3)}, change=name)


def names_of_branches(make: Make) -> None:
    """A branch names its own value as the main graph names another."""
    body = """h = MatMul(x, w)
        m = ReduceMax<keepdims=0>(h)
        c = Less(m, zero)
        z = If(c) <
            then_branch = a () => (float[n,3] t) { t = Neg(h) },
            else_branch = b () => (float[n,3] u) { t = Exp(h)
                u = Neg(t) }>
        y = Abs(z)"""
    make.graph(XY, body, {"w": (8, 3), "zero": np.float32(0)})
