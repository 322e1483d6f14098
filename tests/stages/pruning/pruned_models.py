"""Architectures to prune, each as small as it can be."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from pipeline.artifact.torch_module import ModelInput, ModelSpec, make_module
from tests.stages.models import encoder_spec, resnet_spec

IMAGE: dict[str, tuple[tuple[int, ...], str]] = {"image": ((3, 16, 16), "float32")}
TOKENS: dict[str, tuple[tuple[int, ...], str]] = {"ids": ((10,), "int64")}


class Plain(nn.Module):
    """Convolutions, flattened, and linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU())
        self.inner = nn.Linear(24 * 16, 32)
        self.head = nn.Linear(32, 4)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(torch.relu(self.inner(self.body(image).flatten(1))))
        return result


class SqueezeExcite(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, inner, 1)
        self.expand = nn.Conv2d(inner, width, 1)

    def forward(self, states: Tensor) -> Tensor:
        gate = self.expand(torch.relu(self.reduce(states.mean((2, 3), keepdim=True))))
        return states * nn.functional.hardsigmoid(gate)


class InvertedResidual(nn.Module):
    """MobileNetV3's block."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(width, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.Hardswish())
        depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.depthwise = nn.Sequential(depthwise, nn.BatchNorm2d(inner), nn.Hardswish())
        self.excite = SqueezeExcite(inner, 8)
        self.project = nn.Sequential(nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, states: Tensor) -> Tensor:
        result: Tensor = states + self.project(self.excite(self.depthwise(self.expand(states))))
        return result


class Mobile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.blocks = nn.Sequential(InvertedResidual(16, 32), InvertedResidual(16, 32))
        self.head = nn.Linear(16, 4)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(self.blocks(self.stem(image)).mean((2, 3)))
        return result


class DenseLayer(nn.Module):
    """DenseNet's: what it makes is put behind what it is given."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(width), nn.Conv2d(width, 16, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(16), nn.Conv2d(16, growth, 3, padding=1, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        inner = self.conv1(torch.relu(self.norm1(states)))
        return torch.cat([states, self.conv2(torch.relu(self.norm2(inner)))], 1)


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.layers = nn.Sequential(DenseLayer(16, 8), DenseLayer(24, 8), DenseLayer(32, 8))
        self.norm, self.transition = nn.BatchNorm2d(40), nn.Conv2d(40, 20, 1, bias=False)
        self.head = nn.Linear(20, 4)

    def forward(self, image: Tensor) -> Tensor:
        states = self.transition(torch.relu(self.norm(self.layers(self.stem(image)))))
        result: Tensor = self.head(states.mean((2, 3)))
        return result


class Grouped(nn.Module):
    """Convolutions in groups, as in ResNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 1)
        self.grouped = nn.Conv2d(32, 32, 3, padding=1, groups=4)
        self.last = nn.Conv2d(32, 16, 1)
        self.head = nn.Linear(16, 4)

    def forward(self, image: Tensor) -> Tensor:
        states = torch.relu(self.grouped(torch.relu(self.first(image))))
        result: Tensor = self.head(torch.relu(self.last(states)).mean((2, 3)))
        return result


class Shuffled(nn.Module):
    """Channels are mixed by a reshape, as in ShuffleNet: what torch-pruning can't see."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 32, 1)
        self.third, self.head = nn.Conv2d(32, 16, 1), nn.Linear(16, 4)

    def forward(self, image: Tensor) -> Tensor:
        states = torch.relu(self.second(torch.relu(self.first(image))))
        batch, width, height, _ = states.shape
        mixed = states.reshape(batch, 2, width // 2, height, -1).transpose(1, 2).reshape(states.shape)
        result: Tensor = self.head(torch.relu(self.third(mixed)).mean((2, 3)))
        return result


class FusedAttention(nn.Module):
    """The usual ways to take queries, keys and values apart."""

    def __init__(self, hidden: int, heads: int, split: str) -> None:
        super().__init__()
        self.heads = heads
        self.dim = hidden
        self.split = split
        self.to_qkv = nn.Linear(hidden, 3 * hidden, bias=False)
        self.to_out = nn.Sequential(nn.Linear(hidden, hidden), nn.Dropout(0.1))

    def forward(self, states: Tensor) -> Tensor:
        batch, length, _ = states.shape
        query, key, value = self._taken_apart(self.to_qkv(states), batch, length)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.to_out(mixed.transpose(1, 2).reshape(batch, length, -1))
        return result

    def _taken_apart(self, made: Tensor, batch: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
        if self.split == "index":
            parts = made.reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            return parts[0], parts[1], parts[2]
        if self.split == "interleaved":
            query, key, value = made.view(batch, length, self.heads, -1).transpose(1, 2).chunk(3, dim=-1)
            return query, key, value
        pieces = made.chunk(3, dim=-1) if self.split == "chunk" else torch.split(made, self.dim, dim=2)
        query, key, value = (piece.reshape(batch, length, self.heads, -1).transpose(1, 2) for piece in pieces)
        return query, key, value


class Fused(nn.Module):
    def __init__(self, split: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        self.place = nn.Parameter(torch.randn(1, 10, 32))
        self.norm = nn.LayerNorm(32)
        self.attention = FusedAttention(32, 4, split)
        self.head = nn.Linear(32, 4)

    def forward(self, ids: Tensor) -> Tensor:
        states = self.embed(ids) + self.place
        states = states + self.attention(self.norm(states))
        result: Tensor = self.head(states.mean(1))
        return result


class Unnamed(nn.Module):
    """Attention that nobody can tell by its names."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(50, 32), nn.Parameter(torch.randn(1, 10, 32))
        self.first, self.second, self.third = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.inner, self.head = nn.Linear(32, 16), nn.Linear(16, 4)

    def forward(self, ids: Tensor) -> Tensor:
        states = self.embed(ids) + self.place
        parts = [layer(states).unflatten(2, (4, -1)).transpose(1, 2) for layer in (self.first, self.second, self.third)]
        mixed = nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        result: Tensor = self.head(torch.relu(self.inner(mixed)).mean(1))
        return result


class Normed(nn.Module):
    """Group normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 32, 3), nn.GroupNorm(4, 32), nn.ReLU(), nn.Conv2d(32, 16, 3))
        self.head = nn.Linear(16, 4)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(torch.relu(self.body(image)).mean((2, 3)))
        return result


class Recurrent(nn.Module):
    """A linear layer feeds a recurrent one, whose last state is classified by two more."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.feeds = nn.Linear(16, 24)
        self.recurrent: Any = getattr(nn, kind)(24, 32, batch_first=True)
        self.inner, self.head = nn.Linear(32, 48), nn.Linear(48, 4)

    def forward(self, ids: Tensor) -> Tensor:
        states, _ = self.recurrent(torch.relu(self.feeds(self.embed(ids))))
        result: Tensor = self.head(torch.relu(self.inner(states[:, -1])))
        return result


class TiedEncoder(nn.Module):
    """PyTorch's own encoder layer; the words are told by the embedding's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.words = nn.Linear(32, 50, bias=False)
        self.words.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        result: Tensor = self.words(self.layer(self.embed(ids)))
        return result


class Yolo(nn.Module):
    """A convolution's output cut in two; both halves and what is made of the second are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.cut, self.inner, self.joined = nn.Conv2d(16, 32, 1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(48, 32, 1)
        self.head = nn.Linear(32, 4)

    def forward(self, image: Tensor) -> Tensor:
        parts = list(self.cut(torch.relu(self.first(image))).chunk(2, 1))
        parts.append(torch.relu(self.inner(parts[-1])))
        result: Tensor = self.head(torch.relu(self.joined(torch.cat(parts, 1))).mean((2, 3)))
        return result


class Upscaled(nn.Module):
    """Channels become pixels; then a transposed convolution in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.up, self.last = nn.Conv2d(16, 48, 3, padding=1), nn.Conv2d(12, 16, 3, padding=1)
        self.grouped = nn.ConvTranspose2d(16, 8, 2, stride=2, groups=2)
        self.head = nn.Conv2d(8, 3, 1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, image: Tensor) -> Tensor:
        states = torch.relu(self.first(image))
        states = self.shuffle(self.up(torch.relu(self.second(states)) + states))
        result: Tensor = self.head(torch.relu(self.grouped(torch.relu(self.last(states)))))
        return result


class Reparametrized(nn.Module):
    """Weights that are computed at each call, by parametrizations and by the older hooks."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(3 if index == 0 else 16, 16, 3, padding=1) for index in range(5)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.old_weight: nn.Module = nn.utils.weight_norm(layers[0])
        self.old_spectral: nn.Module = nn.utils.spectral_norm(layers[1])
        self.weight = nn.utils.parametrizations.weight_norm(layers[2])
        self.spectral = nn.utils.parametrizations.spectral_norm(layers[3])
        self.masked: nn.Module = prune.random_unstructured(layers[4], "weight", 0.3)  # type: ignore[no-untyped-call]
        self.head = nn.Linear(16, 4)

    def forward(self, image: Tensor) -> Tensor:
        states = torch.relu(self.old_spectral(torch.relu(self.old_weight(image))))
        states = states + torch.relu(self.spectral(torch.relu(self.weight(states))))
        result: Tensor = self.head(torch.relu(self.masked(states)).mean((2, 3)))
        return result


@dataclass(frozen=True)
class Architecture:
    factory: str
    inputs: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=lambda: IMAGE)
    arguments: dict[str, Any] = field(default_factory=dict)

    def spec(self) -> ModelSpec:
        return ModelSpec(
            factory={"_target_": self.factory, **self.arguments},
            inputs=tuple(
                ModelInput(name=name, shape=shape, dtype=dtype) for name, (shape, dtype) in self.inputs.items()
            ),
            outputs=("y",),
        )


def _own(made: type, inputs: Any = IMAGE, **arguments: Any) -> Callable[[], ModelSpec]:
    return Architecture(f"{__name__}.{made.__qualname__}", inputs, arguments).spec


VIT = {"image": 16, "patch": 4, "hidden": 32, "layers": 2, "heads": 4, "inner": 64, "num_classes": 4}
SPECS: dict[str, Callable[[], ModelSpec]] = {
    "plain": _own(Plain),
    "residual": lambda: resnet_spec((16, 32)),
    "mobile": _own(Mobile),
    "dense": _own(Dense),
    "grouped": _own(Grouped),
    "shuffled": _own(Shuffled),
    "vit": Architecture("pipeline.zoo.vit.VisionTransformer", IMAGE, VIT).spec,
    "encoder": encoder_spec,
    "tied": _own(TiedEncoder, TOKENS),
    "unnamed": _own(Unnamed, TOKENS),
    "normed": _own(Normed),
    "yolo": _own(Yolo),
    "upscaled": _own(Upscaled),
    "reparametrized": _own(Reparametrized),
    "lstm": _own(Recurrent, TOKENS, kind="LSTM"),
    "gru": _own(Recurrent, TOKENS, kind="GRU"),
    **{f"fused_{split}": _own(Fused, TOKENS, split=split) for split in ("index", "interleaved", "chunk", "split")},
}


def varied(spec: ModelSpec) -> nn.Module:
    """An untrained module in which no layer is the identity, and no bias or shift is 0."""
    torch.manual_seed(0)
    module = make_module(spec)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, (nn.BatchNorm2d, nn.LayerNorm)):
                nn.init.uniform_(layer.weight, 0.5, 1.5)
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.bias, 0, 0.2)
                assert layer.running_var is not None
                nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return module.eval()
