"""Small networks, in float and quantized by ONNX Runtime, whose faults are planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.data.batches import Inputs

SIZES = {"residual": (3, 12, 12), "attention": (10, 16)}
WIDTH = 8


class _Writing:
    """A graph while it is written: each node is named after what it makes."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, *shape: int, by: float = 0.0) -> str:
        """A weight of this shape; its fan-in is ``by``, or of all axes but the first."""
        scale = 1 / np.sqrt(by or np.prod(shape[1:]))
        self.weights.append(numpy_helper.from_array(self.rng.normal(0, scale, shape).astype(np.float32), name))
        return name

    def constant(self, name: str, *values: float) -> str:
        self.weights.append(numpy_helper.from_array(np.array(values, np.float32), name))
        return name

    def add(self, op: str, made: str, *read: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(read), [made], name=f"node_{made}", **attributes))
        return made

    def conv(self, made: str, read: str, channels: int) -> str:
        weight, bias = self.weight(f"{made}.weight", WIDTH, channels, 3, 3), self.weight(f"{made}.bias", WIDTH, by=16.0)
        return self.add("Conv", made, read, weight, bias, pads=[1, 1, 1, 1])

    def linear(self, made: str, read: str, inside: int, out: int) -> str:
        weight, bias = self.weight(f"{made}.weight", inside, out, by=inside), self.weight(f"{made}.bias", out, by=4.0)
        return self.add("Add", made, self.add("MatMul", f"{made}.product", read, weight), bias)

    def model(self, kind: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            kind,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *SIZES[kind]])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def residual() -> onnx.ModelProto:
    """Two residual blocks of convolutions, and a classifier."""
    net = _Writing(0)
    value = net.add("Relu", "relu0", net.conv("conv0", "x", 3))
    for block in (1, 2):
        inside = net.add("Relu", f"relu{block}", net.conv(f"conv{block}.a", value, WIDTH))
        summed = net.add("Add", f"sum{block}", net.conv(f"conv{block}.b", inside, WIDTH), value)
        value = net.add("Relu", f"out{block}", summed)
    flat = net.add("Flatten", "flat", net.add("GlobalAveragePool", "pooled", value))
    weight, bias = net.weight("head.weight", WIDTH, 5, by=WIDTH), net.weight("head.bias", 5, by=4.0)
    net.add("Gemm", "y", flat, weight, bias)
    return net.model("residual")


def attention() -> onnx.ModelProto:
    """An encoder layer: attention, two sums with what came before, a hidden layer."""
    net, width = _Writing(1), SIZES["attention"][-1]
    value = net.linear("embedded", "x", width, width)
    query, key, mixed = (net.linear(name, value, width, width) for name in ("query", "key", "value"))
    turned = net.add("Transpose", "turned", key, perm=[0, 2, 1])
    root = net.constant("root", 4.0)
    scores = net.add("Div", "scores", net.add("MatMul", "products", query, turned), root)
    context = net.add("MatMul", "context", net.add("Softmax", "shares", scores, axis=-1), mixed)
    value = net.add("Add", "sum1", net.linear("projected", context, width, width), value)
    hidden = net.add("Relu", "hidden", net.linear("wide", value, width, 2 * width))
    net.add("Add", "y", net.linear("narrow", hidden, 2 * width, width), value)
    return net.model("attention")


NETWORKS: Mapping[str, Callable[[], onnx.ModelProto]] = {"residual": residual, "attention": attention}


def examples(kind: str, count: int, seed: int) -> Inputs:
    rng = np.random.default_rng(seed)
    return Inputs({"x": rng.normal(size=(count, *SIZES[kind])).astype(np.float32)})


def quantized(kind: str, folder: Path) -> onnx.ModelProto:
    """The network in int8 with Q/DQ pairs, calibrated by ONNX Runtime."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            parts = np.split(examples(kind, 16, 5)["x"], 4)
            self.feeds: Iterator[dict[str, NDArray[np.float32]]] = ({"x": part} for part in parts)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self.feeds, None)

    source, out = folder / "float.onnx", folder / "quantized.onnx"
    onnx.save(NETWORKS[kind](), source)
    quantize_static(
        source,
        out,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=False,
    )
    return onnx.load(out)
