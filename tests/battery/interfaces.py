"""Traps in what a model reads and gives: types, sizes, names, numbers of inputs and outputs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from tests.battery.making import Make, bfloat16, floats, ints


def fixed_batch_one(make: Make) -> None:
    """The batch is 1, and nothing is free."""
    make.graph("(float[1,8] x) => (float[1,3] y)", "y = MatMul(x, w)", {"w": (8, 3)})


def fixed_batch_four(make: Make) -> None:
    """The batch is 4, inside a Reshape, too."""
    body = "h = MatMul(x, w)\n y = Reshape(h, s)"
    make.graph("(float[4,8] x) => (float[4,2,3] y)", body, {"w": (8, 6), "s": ints(4, 2, 3)})


def everything_free(make: Make) -> None:
    """All sizes of a picture are free."""
    body = "h = Conv<pads=[1,1,1,1]>(x, w)\n y = GlobalAveragePool(h)"
    make.graph("(float[n,c,h,w0] x) => (float[a,b,c0,d] y)", body, {"w": (6, 3, 3, 3)})


def several_inputs_and_outputs(make: Make) -> None:
    """Two inputs of different types, three outputs, one of whole numbers."""
    body = "e = Gather(t, i)\n s = Add(e, x)\n y = MatMul(s, w)\n z = ArgMax<axis=1, keepdims=0>(y)\n p = Softmax(y)"
    make.graph(
        "(int64[n] i, float[n,8] x) => (float[n,3] y, int64[n] z, float[n,3] p)", body, {"t": (9, 8), "w": (8, 3)}
    )


def integers_of_32_bits(make: Make) -> None:
    """An int32 input that chooses rows of a table."""
    body = "e = Gather(t, i)\n m = ReduceMean<keepdims=0>(e, a)\n y = MatMul(m, w)"
    make.graph("(int32[n,5] i) => (float[n,3] y)", body, {"t": (12, 8), "a": ints(1), "w": (8, 3)})


def bytes_of_pictures(make: Make) -> None:
    """A uint8 picture, channels last, scaled inside."""
    body = """f = Cast<to=1>(x)
        s = Mul(f, k)
        t = Transpose<perm=[0,3,1,2]>(s)
        c = Conv(t, w)
        r = Relu(c)
        g = GlobalAveragePool(r)
        y = Flatten(g)"""
    make.graph("(uint8[n,8,8,3] x) => (float[n,4] y)", body, {"k": floats(1 / 255), "w": (4, 3, 3, 3)})


def half_floats(make: Make) -> None:
    """float16 from end to end."""
    weights = {"w": make.normal(8, 16).astype(np.float16), "v": make.normal(16, 3).astype(np.float16)}
    body = "h = MatMul(x, w)\n r = Relu(h)\n y = MatMul(r, v)"
    make.graph("(float16[n,8] x) => (float16[n,3] y)", body, {**weights})


def brain_floats(make: Make) -> None:
    """bfloat16 from end to end, which NumPy does not have."""
    weight = bfloat16("w", make.normal(8, 3))
    make.graph("(bfloat16[n,8] x) => (bfloat16[n,3] y)", "y = MatMul(x, w)", {"w": weight})


def double_floats(make: Make) -> None:
    """float64 from end to end."""
    body = "h = MatMul(x, w)\n y = Tanh(h)"
    make.graph("(double[n,8] x) => (double[n,3] y)", body, {"w": make.normal(8, 3).astype(np.float64)})


def booleans(make: Make) -> None:
    """A bool input that hides values, and a bool output."""
    body = "h = Where(m, x, k)\n y = MatMul(h, w)\n b = Greater(y, k)"
    make.graph("(float[n,8] x, bool[n,8] m) => (float[n,3] y, bool[n,3] b)", body, {"k": floats(0.0), "w": (8, 3)})


def a_scalar_beside(make: Make) -> None:
    """An input without axes: one number serves a whole call."""
    body = "h = Mul(x, t)\n y = MatMul(h, w)"
    make.graph("(float[n,8] x, float t) => (float[n,3] y)", body, {"w": (8, 3)})


def a_scalar_comes_out(make: Make) -> None:
    """One output is a single number over the whole batch."""
    body = "y = MatMul(x, w)\n m = ReduceMean<keepdims=0>(y)"
    make.graph("(float[n,8] x) => (float[n,3] y, float m)", body, {"w": (8, 3)})


def strings(make: Make) -> None:
    """An input of texts."""
    body = """i = ai.onnx.ml.LabelEncoder<keys_strings=["a","b"], values_int64s=[1,2], default_int64=0>(x)
        y = Gather(t, i)"""
    make.graph("(string[n] x) => (float[n,4] y)", body, {"t": (3, 4)}, domains={"ai.onnx.ml": 2})


def odd_names(make: Make) -> None:
    """Names with slashes, dots, spaces, colons and letters beyond ASCII."""
    names = {"x": "input/x:0", "h": "a b.c", "w": "größe/w.1", "y": "出力", "first": "node one", "second": "/二/MatMul"}

    def rename(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.name = names.get(value.name, value.name)
        for tensor in model.graph.initializer:
            tensor.name = names.get(tensor.name, tensor.name)
        for node in model.graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
            node.name = names["first" if node.op_type == "Relu" else "second"]

    body = "h = MatMul(x, w)\n y = Relu(h)"
    make.graph("(float[n,8] x) => (float[n,3] y)", body, {"w": (8, 3)}, change=rename)


def unused_input(make: Make) -> None:
    """An input that nothing reads."""
    make.graph("(float[n,8] x, float[n,2] nothing) => (float[n,3] y)", "y = MatMul(x, w)", {"w": (8, 3)})


def one_tensor_twice(make: Make) -> None:
    """Two outputs of one tensor, by an Identity, and an input that is an output."""
    body = "y = MatMul(x, w)\n z = Identity(y)\n same = Identity(x)"
    make.graph("(float[n,8] x) => (float[n,3] y, float[n,3] z, float[n,8] same)", body, {"w": (8, 3)})


def identity(make: Make) -> None:
    """A model that does nothing."""
    make.graph("(float[n,8] x) => (float[n,8] y)", "y = Identity(x)")


def constant_output(make: Make) -> None:
    """One output does not depend on the input."""
    make.graph(
        "(float[n,8] x) => (float[n,3] y, float[4] k)", "y = MatMul(x, w)\n k = Identity(c)", {"w": (8, 3), "c": (4,)}
    )


def zero_sizes(make: Make) -> None:
    """An output with an axis of size 0."""
    body = "y = MatMul(x, w)\n z = Slice(x, a, a, b)"
    make.graph("(float[n,8] x) => (float[n,3] y, float[n,0] z)", body, {"w": (8, 3), "a": ints(0), "b": ints(1)})


def sequence_output(make: Make) -> None:
    """One of two outputs is a sequence."""
    body = "y = MatMul(x, w)\n s = SequenceConstruct(y, x)"
    make.graph("(float[n,8] x) => (float[n,3] y, seq(float[n,k]) s)", body, {"w": (8, 3)})


def optional_output(make: Make) -> None:
    """One of two outputs is an optional."""
    body = "y = MatMul(x, w)\n o = Optional(y)"
    make.graph("(float[n,8] x) => (float[n,3] y, optional(float[n,3]) o)", body, {"w": (8, 3)})


def sequence_inside(make: Make) -> None:
    """A sequence of tensors between the layers."""
    body = """h = MatMul(x, w)
        s = SplitToSequence<axis=1>(h, p)
        a = SequenceAt(s, zero)
        b = SequenceAt(s, one)
        y = Mul(a, b)"""
    zero, one = np.array(0, np.int64), np.array(1, np.int64)
    make.graph("(float[n,8] x) => (float[n,4] y)", body, {"w": (8, 8), "p": ints(4, 4), "zero": zero, "one": one})


def batch_on_the_second_axis(make: Make) -> None:
    """A recurrent state with its batch on the second axis, in and out."""
    body = """h1 = Add(h, s)
        m = ReduceMean<keepdims=0>(h1, a)
        j = Add(m, x)
        y = MatMul(j, w)"""
    signature = "(float[n,8] x, float[2,n,8] h) => (float[n,3] y, float[2,n,8] h1)"
    make.graph(signature, body, {"s": floats(0.5), "a": ints(0), "w": (8, 3)})


def no_declared_shapes(make: Make) -> None:
    """The output's shape is not declared."""

    def undeclare(model: onnx.ModelProto) -> None:
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None))

    make.graph("(float[n,8] x) => (float[n,3] y)", "y = MatMul(x, w)", {"w": (8, 3)}, change=undeclare)


def complex_outputs(make: Make) -> None:
    """A discrete Fourier transform: its two last numbers are real and imaginary."""
    body = "c = MatMul(x, w)\n u = Unsqueeze(c, a)\n y = DFT<axis=1>(u)"
    make.graph("(float[n,8] x) => (float[n,8,2] y)", body, {"w": (8, 8), "a": ints(2)}, opset=17)
