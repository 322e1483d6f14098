"""Traps in what a model computes: convolutions, recurrences, attention, normalization, picking."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.battery.making import Make, Weight, floats, ints

PICTURE = "(float[n,3,8,8] x) => (float[n,4] y)"
END = "g = GlobalAveragePool(r)\n y = Flatten(g)"
SEQUENCE = "(float[n,5,8] x) => (float[n,5,8] y)"


def depthwise(make: Make) -> None:
    """A depthwise convolution and a pointwise one."""
    body = f"d = Conv<group=3, pads=[1,1,1,1]>(x, w)\n a = Relu(d)\n c = Conv(a, v)\n r = Relu(c)\n {END}"
    make.graph(PICTURE, body, {"w": (3, 1, 3, 3), "v": (4, 3, 1, 1)})


def grouped_and_dilated(make: Make) -> None:
    """A grouped convolution with dilations and uneven strides and pads."""
    body = f"""a = Conv(x, w)
        c = Conv<group=2, dilations=[2,1], strides=[1,2], pads=[2,0,1,1]>(a, v, b)
        r = Clip(c, low, high)
        {END}"""
    ends = {"low": np.float32(0), "high": np.float32(6)}
    make.graph(PICTURE, body, {"w": (4, 3, 1, 1), "v": (4, 2, 3, 3), "b": (4,), **ends})


def padded_by_itself(make: Make) -> None:
    """Convolutions and a pool with auto_pad."""
    body = f"""a = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)
        p = MaxPool<kernel_shape=[2,2], auto_pad="SAME_LOWER">(a)
        c = Conv<auto_pad="VALID">(p, v)
        r = Relu(c)
        {END}"""
    make.graph(PICTURE, body, {"w": (6, 3, 3, 3), "v": (4, 6, 2, 2)})


def transposed(make: Make) -> None:
    """Transposed convolutions, one grouped, with output padding."""
    body = f"""a = ConvTranspose<strides=[2,2], output_padding=[1,1], pads=[1,1,1,1]>(x, w, b)
        t = ConvTranspose<group=2>(a, v)
        r = Tanh(t)
        {END}"""
    make.graph(PICTURE, body, {"w": (3, 4, 3, 3), "b": (4,), "v": (4, 2, 2, 2)})


def one_dimension(make: Make) -> None:
    """Convolutions over a signal."""
    body = f"a = Conv<pads=[2,2]>(x, w)\n l = LeakyRelu(a)\n r = Conv<strides=[2]>(l, v)\n {END}"
    make.graph("(float[n,2,16] x) => (float[n,4] y)", body, {"w": (6, 2, 5), "v": (4, 6, 3)})


def three_dimensions(make: Make) -> None:
    """A convolution over a volume."""
    make.graph(
        "(float[n,1,4,6,6] x) => (float[n,4] y)", f"a = Conv(x, w)\n r = Relu(a)\n {END}", {"w": (4, 1, 2, 3, 3)}
    )


def weight_from_a_graph(make: Make) -> None:
    """A convolution whose weight is computed from the input."""
    body = f"""m = ReduceMean<keepdims=1>(x, a)
        k = Mul(w, m)
        c = Conv(x, k)
        r = Relu(c)
        {END}"""
    make.graph(PICTURE, body, {"a": ints(0, 1, 2, 3), "w": (4, 3, 3, 3)})


def lone_batch_normalization(make: Make) -> None:
    """BatchNormalization with no convolution before it."""
    body = "b = BatchNormalization(x, s, o, m, q)\n a = Relu(b)\n r = Conv(a, w)\n " + END
    channels = {"s": floats(1, 2, 0.1), "o": floats(0, 1, 0), "m": floats(0, 0, 1), "q": floats(1, 0.5, 2)}
    make.graph(PICTURE, body, {"w": (4, 3, 3, 3), **channels})


def softmax_over_channels(make: Make) -> None:
    """Softmax along axis 1 of pictures."""
    make.graph(
        "(float[n,3,8,8] x) => (float[n,5,6,6] y)", "c = Conv(x, w)\n y = Softmax<axis=1>(c)", {"w": (5, 3, 3, 3)}
    )


def lstm(make: Make) -> None:
    """A bidirectional LSTM with initial states left out."""
    body = """t = Transpose<perm=[1,0,2]>(x)
        h, hn = LSTM<hidden_size=6, direction="bidirectional">(t, w, r, b)
        p = Transpose<perm=[2,0,1,3]>(h)
        y = Reshape(p, s)"""
    weights = {"w": (2, 24, 8), "r": (2, 24, 6), "b": (2, 48)}
    make.graph("(float[n,5,8] x) => (float[n,5,12] y)", body, {"s": ints(0, 0, -1), **weights})


def gru(make: Make) -> None:
    """A GRU whose last state is the only output."""
    body = """t = Transpose<perm=[1,0,2]>(x)
        none, h = GRU<hidden_size=6, linear_before_reset=1>(t, w, r, b)
        q = Squeeze(h, a)
        y = MatMul(q, v)"""
    weights = {"w": (1, 18, 8), "r": (1, 18, 6), "b": (1, 36), "v": (6, 3)}
    make.graph("(float[n,5,8] x) => (float[n,3] y)", body.replace("none", '""'), {"a": ints(0), **weights})


def attention(make: Make) -> None:
    """Attention of two heads with a mask from the input."""
    body = """q0 = MatMul(x, wq)
        k0 = MatMul(x, wk)
        v0 = MatMul(x, wv)
        q1 = Reshape(q0, s)
        k1 = Reshape(k0, s)
        v1 = Reshape(v0, s)
        q = Transpose<perm=[0,2,1,3]>(q1)
        k = Transpose<perm=[0,2,3,1]>(k1)
        v = Transpose<perm=[0,2,1,3]>(v1)
        d = MatMul(q, k)
        e = Mul(d, scale)
        f = Cast<to=1>(m)
        g = Sub(one, f)
        h = Mul(g, low)
        u = Unsqueeze(h, a)
        j = Add(e, u)
        p = Softmax(j)
        c = MatMul(p, v)
        t = Transpose<perm=[0,2,1,3]>(c)
        o = Reshape(t, z)
        y = MatMul(o, wo)"""
    scalars: Mapping[str, Weight] = {"scale": np.float32(0.5), "one": np.float32(1), "low": np.float32(-1e9)}
    sizes = {"s": ints(0, 0, 2, 4), "z": ints(0, 0, 8), "a": ints(1, 2)}
    weights: Mapping[str, Weight] = dict.fromkeys(("wq", "wk", "wv", "wo"), (8, 8))
    signature = "(float[n,5,8] x, int64[n,5] m) => (float[n,5,8] y)"
    make.graph(signature, body, {**sizes, **weights, **scalars})


def layer_normalization(make: Make) -> None:
    """LayerNormalization before and after a product, once without a bias."""
    body = "a = LayerNormalization(x, s)\n b = MatMul(a, w)\n y = LayerNormalization<axis=2>(b, s, o)"
    make.graph(SEQUENCE, body, {"w": (8, 8), "s": (8,), "o": (8,)})


def layer_normalization_in_parts(make: Make) -> None:
    """LayerNormalization written as ReduceMean, Pow and Sqrt."""
    body = """m = ReduceMean(x, a)
        d = Sub(x, m)
        q = Pow(d, two)
        v = ReduceMean(q, a)
        e = Add(v, eps)
        r = Sqrt(e)
        h = Div(d, r)
        s = Mul(h, scale)
        y = MatMul(s, w)"""
    scalars = {"two": np.float32(2), "eps": np.float32(1e-5)}
    make.graph(SEQUENCE, body, {"a": ints(-1), "scale": (8,), "w": (8, 8), **scalars})


def einsum(make: Make) -> None:
    """Products as Einsum, one with a weight."""
    body = 'h = Einsum<equation="nsd,de->nse">(x, w)\n y = Einsum<equation="nsd,ntd->nst">(h, x)'
    make.graph("(float[n,5,8] x) => (float[n,5,5] y)", body, {"w": (8, 8)})


def resizes(make: Make) -> None:
    """Resize by scale and by size, nearest, linear and cubic."""
    body = """c = Conv(x, w)
        a = Resize<mode="linear", coordinate_transformation_mode="align_corners">(c, "", s)
        b = Resize<mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric">(a, "", s)
        d = Resize<mode="cubic", axes=[2,3]>(b, "", "", z)
        r = Relu(d)
        """
    make.graph(PICTURE, body + END, {"w": (4, 3, 3, 3), "s": floats(1, 1, 2, 2), "z": ints(7, 9)})


def highest_scores(make: Make) -> None:
    """TopK: values, and places as whole numbers."""
    body = "h = MatMul(x, w)\n v, i = TopK<axis=1>(h, k)"
    make.graph("(float[n,8] x) => (float[n,3] v, int64[n,3] i)", body, {"w": (8, 10), "k": ints(3)})


def boxes(make: Make) -> None:
    """NonMaxSuppression: how many rows come out depends on the values."""
    body = """b = MatMul(x, wb)
        p = Sigmoid(b)
        q = MatMul(x, ws)
        s = Transpose<perm=[0,2,1]>(q)
        kept = NonMaxSuppression(p, s, most, iou, score)"""
    limits: Mapping[str, Weight] = {"most": ints(3), "iou": floats(0.5), "score": floats(0.0)}
    signature = "(float[n,6,8] x) => (float[n,6,4] p, int64[k,3] kept)"
    make.graph(signature, body, {"wb": (8, 4), "ws": (8, 2), **limits})


def only_boxes(make: Make) -> None:
    """No output has a row for each example."""
    body = "b = MatMul(x, w)\n p = Sigmoid(b)\n kept = NonZero(p)"
    make.graph("(float[n,8] x) => (int64[2,k] kept)", body, {"w": (8, 4)})


def tied_embedding(make: Make) -> None:
    """An embedding whose table is the last layer's weight, too."""
    body = "e = Gather(table, i)\n h = MatMul(e, w)\n g = Tanh(h)\n t = Transpose<perm=[1,0]>(table)\n y = MatMul(g, t)"
    make.graph("(int64[n,5] i) => (float[n,5,20] y)", body, {"table": (20, 8), "w": (8, 8)})


def shapes_computed(make: Make) -> None:
    """Sizes that are computed from the input's shape."""
    body = """h = MatMul(x, w)
        f = Shape(h)
        n = Gather(f, zero)
        u = Unsqueeze(n, zero1)
        s = Concat<axis=0>(u, rest)
        y = Reshape(h, s)"""
    zero = np.asarray(0, np.int64)
    make.graph(
        "(float[n,8] x) => (float[n,2,6] y)", body, {"w": (8, 12), "zero": zero, "zero1": ints(0), "rest": ints(2, 6)}
    )


def random_inside(make: Make) -> None:
    """A node that draws at random, without a seed."""
    body = "h = MatMul(x, w)\n z = RandomNormalLike(h)\n y = Add(h, z)"
    make.graph("(float[n,8] x) => (float[n,3] y)", body, {"w": (8, 3)})
