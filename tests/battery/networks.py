"""Traps in PyTorch networks: what they return, how they are made, and what an exporter meets in them.

Each class has ``inputs``, as ``model.inputs`` has them, and ``outputs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.zoo.source import InputSpec

PICTURE = {"x": InputSpec(shape=(3, 8, 8))}
VECTOR = {"x": InputSpec(shape=(8,))}
TOKENS = {"ids": InputSpec(shape=(5,), dtype="int64")}


class Trap(nn.Module):
    inputs: ClassVar[Mapping[str, InputSpec]] = VECTOR
    outputs: ClassVar[tuple[str, ...]] = ("y",)


class Network(Trap):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 3)

    def scores(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(torch.relu(self.first(x)))
        return found


class Mapped(Network):
    """It returns a dict of two tensors."""

    outputs = ("scores", "features")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = torch.relu(self.first(x))
        return {"scores": self.last(h), "features": h}


@dataclass
class Result:
    scores: Tensor
    features: Tensor | None = None


class Described(Network):
    """It returns a dataclass, one of whose fields is empty."""

    outputs = ("scores",)

    def forward(self, x: Tensor) -> Result:
        return Result(scores=self.scores(x))


class Nested(Network):
    """It returns a tuple inside a tuple."""

    outputs = ("y", "z", "sum")

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y = self.scores(x)
        return y, (y.softmax(1), y.sum(1))


class AlwaysDropping(Network):
    """Its dropout is on in evaluation, too."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(self.scores(x), 0.5, training=True)


class Deciding(Network):
    """Its path depends on the values."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return self.scores(x)
        return self.scores(-x)


class Complex(Network):
    """It calculates in complex numbers."""

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft(torch.relu(self.first(x)))
        found: Tensor = self.last(spectrum.abs())
        return found


class Tied(Trap):
    """Its embedding and its last layer share a weight."""

    inputs: ClassVar[Mapping[str, InputSpec]] = TOKENS

    def __init__(self) -> None:
        super().__init__()
        self.table, self.middle, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.head(torch.tanh(self.middle(self.table(ids))))
        return found


class Convolutional(Trap):
    """Convolutions with batch normalization, a residual sum and a depthwise layer."""

    inputs: ClassVar[Mapping[str, InputSpec]] = PICTURE

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.c, self.d = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.b(self.a(x)))
        h = h + self.d(functional.silu(self.c(h)))
        found: Tensor = self.head(h.mean((2, 3)))
        return found


class Upscaling(Trap):
    """A transposed convolution, a resize and a skip: a picture comes out."""

    inputs: ClassVar[Mapping[str, InputSpec]] = PICTURE

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up, self.end = nn.Conv2d(3, 8, 2, 2), nn.ConvTranspose2d(8, 8, 2, 2), nn.Conv2d(11, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.interpolate(torch.relu(self.down(x)), scale_factor=2.0, mode="nearest")
        h = functional.interpolate(self.up(h), size=x.shape[2:], mode="bilinear", align_corners=False)
        found: Tensor = self.end(torch.cat([x, h], 1))
        return found


class Attending(Trap):
    """An encoder layer of PyTorch's own over embedded tokens."""

    inputs: ClassVar[Mapping[str, InputSpec]] = TOKENS

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.head(self.layer(self.table(ids)).mean(1))
        return found


class Recurrent(Trap):
    """An LSTM of two layers."""

    inputs: ClassVar[Mapping[str, InputSpec]] = {"x": InputSpec(shape=(5, 8))}

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 12, 2, batch_first=True), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.lstm(x)[0][:, -1])
        return found


class Half(Network):
    """Its weights and its input are float16."""

    inputs: ClassVar[Mapping[str, InputSpec]] = {"x": InputSpec(shape=(8,), dtype="float16")}

    def __init__(self) -> None:
        super().__init__()
        self.half()

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x)


class Masked(Network):
    """A bool input and a whole number beside the vector."""

    inputs: ClassVar[Mapping[str, InputSpec]] = {
        "x": InputSpec(shape=(8,)),
        "hide": InputSpec(shape=(8,), dtype="bool"),
        "row": InputSpec(shape=(), dtype="int64"),
    }

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(1000, 8)

    def forward(self, x: Tensor, hide: Tensor, row: Tensor) -> Tensor:
        return self.scores(x.masked_fill(hide, 0.0) + self.rows(row))


class Buffered(Network):
    """A buffer that is not saved, a parameter that nothing reads, and one that is a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((8,), 0.25), persistent=False)
        self.scale, self.idle = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.ones(3))
        self.mean: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.scores((x - self.mean) * self.scale)


class Weightless(Trap):
    """It has no parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(1)


class Reused(Network):
    """One layer is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.middle(torch.relu(self.first(x))))
        found: Tensor = self.last(torch.relu(self.middle(h)))
        return found


class InPlace(Network):
    """It changes its input and its results in place."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, 0] = 0.0
        x[:, 1:3] *= 2.0
        return self.scores(x).relu_()


class Reparametrized(Network):
    """A layer with weight normalization by parametrization."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(8, 16))

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(x)


class Looping(Network):
    """It goes over the tokens in a loop of Python's."""

    inputs: ClassVar[Mapping[str, InputSpec]] = {"x": InputSpec(shape=(5, 8))}

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros_like(x[:, 0])
        for place in range(x.shape[1]):
            h = torch.tanh(h + x[:, place])
        return self.scores(h)
