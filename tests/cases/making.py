"""What makes a case's input: a small model, data, and whatever lies beside them in the folder."""

from __future__ import annotations

import csv
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto as T
from onnx import helper, numpy_helper

node = helper.make_node
value = helper.make_tensor_value_info


def conv(inputs: Sequence[str], outputs: Sequence[str], **more: Any) -> onnx.NodeProto:
    """A convolution of 3 x 3 that keeps the size."""
    return node("Conv", inputs, outputs, kernel_shape=[3, 3], pads=[1, 1, 1, 1], **more)


def constant(name: str, values: Any, dtype: Any) -> onnx.TensorProto:
    """A tensor of these values."""
    return numpy_helper.from_array(np.array(values, dtype), name)


def constant_node(tensor: onnx.TensorProto) -> onnx.NodeProto:
    """A node that gives a tensor."""
    return node("Constant", [], [tensor.name], value=tensor)


def half(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The same in float16."""
    return constant(tensor.name, numpy_helper.to_array(tensor), np.float16)


WORDS = ["[PAD]", "[UNK]", "good", "bad", "fine", "awful", "film", "plot", "the", "a"]
PRELUDE = """\
import torch
from torch import nn


def body(pooled=True):
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.AdaptiveAvgPool2d(1), nn.Flatten()] if pooled else []))


"""
"""What every file ``model.py`` begins with."""


@dataclass(frozen=True, slots=True)
class Make:
    """Writes into one folder; the same numbers every time."""

    out: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def weight(self, name: str, *shape: int, scale: float = 0.2) -> onnx.TensorProto:
        """Normal noise of that shape."""
        return numpy_helper.from_array((self.rng.standard_normal(shape) * scale).astype(np.float32), name)

    def save(
        self,
        nodes: Sequence[onnx.NodeProto],
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        weights: Sequence[onnx.TensorProto],
        *,
        opset: int = 17,
        ir: int = 8,
    ) -> onnx.ModelProto:
        """Write ``model.onnx``."""
        graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
        domains = {"": opset, "com.microsoft": 1, "ai.onnx.ml": 3}
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*item) for item in domains.items()])
        model.ir_version = ir
        onnx.save(model, self.out / "model.onnx")
        return model

    def data(self, **arrays: Any) -> None:
        """Write ``data.npz``."""
        np.savez(self.out / "data.npz", **arrays)

    def noise(self, *shape: int) -> NDArray[np.float32]:
        """Normal noise."""
        return self.rng.standard_normal(shape).astype(np.float32)

    def vector_model(self, classes: int = 10) -> None:
        """Two matrix products: x [n, 64] to y [n, classes]."""
        nodes = [
            node("MatMul", ["x", "w0"], ["a"]),
            node("Relu", ["a"], ["ar"]),
            node("MatMul", ["ar", "w1"], ["y"]),
        ]
        self.save(
            nodes,
            [value("x", T.FLOAT, ["n", 64])],
            [value("y", T.FLOAT, ["n", classes])],
            [self.weight("w0", 64, 128), self.weight("w1", 128, classes)],
        )

    def image_model(self, classes: int = 2, size: int = 16) -> None:
        """A convolution, a mean and a product: image [n, 3, size, size] in uint8 to y [n, classes]."""
        nodes = [
            node("Cast", ["image"], ["xf"], to=T.FLOAT),
            node("Mul", ["xf", "k"], ["x"]),
            conv(["x", "w0", "b0"], ["a"]),
            node("Relu", ["a"], ["ar"]),
            node("GlobalAveragePool", ["ar"], ["p"]),
            node("Flatten", ["p"], ["q"], axis=1),
            node("Gemm", ["q", "w1", "b1"], ["y"], transB=1),
        ]
        weights = [self.weight("w0", 16, 3, 3, 3), self.weight("b0", 16)]
        weights += [self.weight("w1", classes, 16), self.weight("b1", classes)]
        weights += [constant("k", 1 / 255, np.float32)]
        self.save(
            nodes, [value("image", T.UINT8, ["n", 3, size, size])], [value("y", T.FLOAT, ["n", classes])], weights
        )

    def photo(self, path: Path, side: int = 24) -> None:
        """Write a picture of noise."""
        from PIL import Image

        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.rng.integers(0, 256, (side, side, 3)).astype(np.uint8)).save(path)

    def photos(self, classes: Sequence[str] = ("cat", "dog"), each: int = 100) -> Path:
        """Write ``photos/<class>/<number>.png`` and return ``photos``."""
        for name in classes:
            for index in range(each):
                self.photo(self.out / "photos" / name / f"{index:03}.png")
        return self.out / "photos"

    def encoder(self, *, types: bool = False) -> None:
        """A text classifier: tokens [n, 16] to y [n, 2], and its ``tokenizer.json``."""
        from tokenizers import Tokenizer, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(self.out / "tokenizer.json"))
        nodes = [node("Gather", ["emb", "input_ids"], ["e0"])]
        nodes += (
            [node("Gather", ["temb", "token_type_ids"], ["te"]), node("Add", ["e0", "te"], ["e"])]
            if types
            else [node("Identity", ["e0"], ["e"])]
        )
        nodes += [
            node("Cast", ["attention_mask"], ["m"], to=T.FLOAT),
            node("Unsqueeze", ["m", "two"], ["m3"]),
            node("Mul", ["e", "m3"], ["em"]),
            node("ReduceSum", ["em", "one"], ["s"], keepdims=0),
            node("MatMul", ["s", "w0"], ["y"]),
        ]
        weights = [self.weight("emb", 10, 32), self.weight("w0", 32, 2)]
        weights += [self.weight("temb", 2, 32)] if types else []
        weights += [constant("two", [2], np.int64), constant("one", [1], np.int64)]
        names = ["input_ids", "attention_mask", *(["token_type_ids"] if types else [])]
        self.save(nodes, [value(name, T.INT64, ["n", 16]) for name in names], [value("y", T.FLOAT, ["n", 2])], weights)

    def table(
        self,
        *,
        encoding: str = "utf-8",
        delimiter: str = ",",
        extra: str = "",
        order: Sequence[str] = ("text", "label"),
    ) -> None:
        """Write ``reviews.csv``: 200 texts with a label of 0 or 1."""
        with (self.out / "reviews.csv").open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, order, delimiter=delimiter, lineterminator="\r\n")
            writer.writeheader()
            for _ in range(200):
                text = " ".join(self.rng.choice(WORDS[2:], 10))
                writer.writerow({"text": text, "label": int(self.rng.integers(0, 2))})
            file.write(extra)

    def network(self, source: str) -> Any:
        """Write ``model.py`` and return its class ``Net``."""
        import torch

        (self.out / "model.py").write_text(PRELUDE + textwrap.dedent(source))
        sys.path.insert(0, str(self.out))
        torch.manual_seed(0)
        from model import Net  # type: ignore[import-not-found]

        return Net

    def weights(self, network: Any) -> None:
        """Make a network, write ``w.safetensors``."""
        from safetensors.torch import save_model

        save_model(network(), str(self.out / "w.safetensors"))

    def loaded(self, network: Any) -> Any:
        """The network with the weights that were written, in evaluation mode."""
        from safetensors.torch import load_model

        made = network()
        load_model(made, self.out / "w.safetensors")
        return made.eval()
