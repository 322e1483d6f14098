"""Small models, data and contexts for the tests of stages."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.artifact import Artifact, folder_digest
from pipeline.artifact.torch_module import ModelInput, ModelSpec, make_module, save_module
from pipeline.data.batches import Inputs
from pipeline.data.dataset import Dataset, Split, SplitName
from pipeline.data.preprocessing import Preprocessing
from pipeline.metrics import TopOne
from pipeline.plan import Context, Speed, Stage

SHAPE = (1, 12, 12)
PREPROCESSING = {"image": Preprocessing(scale=1 / 255, mean=(0.5,), std=(0.25,))}


class NamedLayer(nn.Module):
    """A model whose output has the name of its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.embedding(x)
        return torch.relu(embedding) + embedding


class TwoOutputs(nn.Module):
    """Features, and logits made of them; both are outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.features = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(torch.relu(self.first(image)))
        return features, self.head(features).mean((2, 3))


class TwoInputs(nn.Module):
    """The sum of two inputs, weighted."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        result: Tensor = self.layer(left) + right
        return result


class Tied(nn.Module):
    """Two layers that share their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(4, 4, bias=False)
        self.decode = nn.Linear(4, 4, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.decode(torch.relu(self.encode(x)))
        return result


class FixedBatch(nn.Module):
    """A model that can't be exported with a free batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] == 2:
            return x
        result: Tensor = self.layer(x)
        return result


class Untraceable(nn.Module):
    """A model with an operation that no exporter knows."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(np.sort(x.detach().numpy()))


class OwnConv(nn.Conv2d):
    """A subclass, as models define them."""


class WithOwnConv(nn.Module):
    """A convolution of a class of the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = OwnConv(1, 4, 3, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.conv(image).mean((2, 3))
        return result


@dataclass(frozen=True)
class MemoryDataset:
    """Random images of a few classes that can be told apart."""

    train: int = 64
    validation: int = 32
    calibration: int = 48
    labels: bool = True
    name: str = "memory"
    class_names: Sequence[str] = ()
    shape: tuple[int, ...] = SHAPE

    @property
    def calibration_size(self) -> int:
        return self.calibration

    def split(self, name: SplitName) -> Split:
        count = {"train": self.train, "validation": self.validation, "calibration": self.calibration, "test": 16}[name]
        rng = np.random.default_rng([len(name), count])
        labels = rng.integers(0, 4, count)
        images = rng.integers(0, 64, (count, *self.shape)) + 48 * labels[:, None, None, None]
        return Split({"image": images.astype(np.uint8)}, labels if self.labels else None)


@dataclass
class Workplace:
    """A folder to build artifacts in, and the notes that stages left."""

    folder: Path
    data: Dataset = field(default_factory=MemoryDataset)
    isa: frozenset[str] = frozenset({"avx2"})
    notes: dict[str, Any] = field(default_factory=dict)
    progress: list[float] = field(default_factory=list)
    speeds: dict[str, float] = field(default_factory=dict)
    compared: list[str] = field(default_factory=list)
    original: Artifact | None = None

    def context(self) -> Context:
        return Context(
            data=self.data,
            preprocessing=PREPROCESSING,
            metric=TopOne(),
            compare=self.compare,
            original=self.start,
            seed=0,
            work=self.folder / "work",
            progress=lambda done, text: self.progress.append(done),
            note=self.notes.__setitem__,
            isa=self.isa,
        )

    def compare(self, candidates: Mapping[str, Artifact], reference: Artifact) -> dict[str, Speed]:
        """Whatever ``speeds`` says; 1 where it says nothing."""
        self.compared = list(candidates)
        return {
            name: Speed(value=self.speeds.get(name, 1.0), low=self.speeds.get(name, 1.0), high=2.0)
            for name in candidates
        }

    def start(self) -> Artifact:
        """Where the chain starts, for stages that may ask."""
        assert self.original is not None
        return self.original

    def new(self, name: str) -> Path:
        out = self.folder / name
        out.mkdir(parents=True)
        return out

    def build(self, stage: Stage, source: Artifact, name: str = "out") -> Artifact:
        out = self.new(name)
        stage(source, out, self.context())
        return Artifact(out, stage.produces, folder_digest(out))

    def torch(self, module: nn.Module, spec: ModelSpec, name: str = "torch") -> Artifact:
        out = self.new(name)
        save_module(module.eval(), spec, out)
        return Artifact(out, "torch", folder_digest(out))


class Deciding(nn.Module):
    """Its code takes another way for other values."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x - 1


class SixteenBits(nn.Module):
    """Weights of 16 bits; whatever comes in is turned into their type."""

    def __init__(self, dtype: str) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4, dtype=getattr(torch, dtype))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(x.to(self.inner.weight.dtype)).float()
        return result


class Overlapping(nn.Module):
    """A buffer of which all values share one place in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.ones(1).expand(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.get_buffer("shift")


def wrapped() -> nn.Module:
    """As people have them who train on several GPUs, or compile."""
    return nn.DataParallel(nn.Linear(3, 2))


def scripted() -> nn.Module:
    """A module whose code is TorchScript's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module: nn.Module = torch.jit.script(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    return module


class Unready(nn.Module):
    """Layers as factories of large models make them: without shapes, and without memory."""

    def __init__(self) -> None:
        super().__init__()
        self.lazy = nn.LazyLinear(2)
        self.meta = nn.Linear(2, 2, bias=False, device="meta")

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.meta(self.lazy(x))
        return result


def spec_of(
    factory: type[nn.Module],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Sequence[str],
    **arguments: Any,
) -> ModelSpec:
    return ModelSpec(
        factory={"_target_": f"{factory.__module__}.{factory.__qualname__}", **arguments},
        inputs=tuple(ModelInput(name=name, shape=shape) for name, shape in inputs.items()),
        outputs=tuple(outputs),
    )


def resnet_spec(widths: Sequence[int] = (8, 16)) -> ModelSpec:
    return ModelSpec(
        factory={
            "_target_": "pipeline.zoo.resnet.SmallResNet",
            "num_classes": 4,
            "widths": list(widths),
            "blocks": [1] * len(widths),
        },
        inputs=(ModelInput(name="image", shape=SHAPE),),
        outputs=("logits",),
    )


def resnet(spec: ModelSpec) -> nn.Module:
    """An untrained network whose batch normalization is not the identity, as in a trained one."""
    torch.manual_seed(0)
    module = make_module(spec)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.bias, 0, 0.2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, 0, 0.1)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return module


class Gate(nn.Module):
    """Squeeze and excite (Hu et al. 2018): each channel is weighted by what the whole image says."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = torch.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * nn.functional.hardsigmoid(self.excite(squeezed))


class Inverted(nn.Module):
    """A mobile network's block: expansion, a convolution for each channel, projection (Sandler et al. 2018)."""

    def __init__(self, channels: int, gated: bool) -> None:
        super().__init__()
        wide = 4 * channels
        active = nn.Hardswish if gated else nn.ReLU6
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            active(),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            active(),
            *([Gate(wide)] if gated else []),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.layers(x)
        return result


class Mobile(nn.Module):
    """A small MobileNetV2, or with gates MobileNetV3."""

    def __init__(self, gated: bool = False, channels: int = 16, blocks: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.blocks = nn.Sequential(*(Inverted(channels, gated) for _ in range(blocks)))
        self.head = nn.Linear(channels, 12)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(self.blocks(self.stem(image)).mean((2, 3)))
        return result


def mobile(gated: bool, seed: int = 0) -> nn.Module:
    """An untrained one whose channels differ as a trained one's do: normalization gives some ninety times the spread of
    others."""
    torch.manual_seed(seed)
    module = Mobile(gated)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.bias, 0.2, 0.3)
            layer.weight.data = torch.exp(torch.empty_like(layer.weight).uniform_(-3.0, 1.5))
    module.train()
    with torch.no_grad():
        for _ in range(20):
            module(torch.randn(16, *SHAPE))
    return module.eval()


def mobile_spec(gated: bool) -> ModelSpec:
    return spec_of(Mobile, {"image": SHAPE}, ["logits"], gated=gated)


def encoder_spec(length: int = 16, **arguments: Any) -> ModelSpec:
    factory = {"_target_": "pipeline.zoo.encoder.Encoder", "vocabulary": 100, "hidden": 64, "positions": length}
    return ModelSpec(
        factory=factory | arguments,
        inputs=(
            ModelInput(name="input_ids", shape=(length,), dtype="int64"),
            ModelInput(name="attention_mask", shape=(length,), dtype="int64"),
        ),
        outputs=("logits",),
    )


def encoder(spec: ModelSpec) -> nn.Module:
    torch.manual_seed(0)
    return make_module(spec)


def sentences(count: int = 20, length: int = 16) -> dict[str, NDArray[Any]]:
    """Token numbers, the last ones filled up and masked."""
    rng = np.random.default_rng(0)
    mask = (np.arange(length) < rng.integers(4, length + 1, count)[:, None]).astype(np.int64)
    return {"input_ids": rng.integers(1, 100, (count, length)) * mask, "attention_mask": mask}


@dataclass(frozen=True)
class TextDataset:
    """Sentences of random tokens."""

    calibration: int = 40
    name: str = "text"
    class_names: Sequence[str] = ()

    @property
    def calibration_size(self) -> int:
        return self.calibration

    def split(self, name: SplitName) -> Split:
        return Split(sentences(self.calibration))


@dataclass(frozen=True)
class ArrayDataset:
    """Normally distributed numbers."""

    input: str
    shape: tuple[int, ...]
    dtype: Any = np.float32
    calibration: int = 40
    name: str = "numbers"
    class_names: Sequence[str] = ()
    axis: int | None = 0
    """Where the model has the examples."""

    @property
    def calibration_size(self) -> int:
        return self.calibration

    def split(self, name: SplitName) -> Split:
        rng = np.random.default_rng(len(name))
        array = rng.normal(size=(self.calibration, *self.shape)).astype(self.dtype)
        return Split(Inputs({self.input: array}, {self.input: self.axis}))


def op_types(artifact: Artifact) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(artifact.onnx_path).graph.node)


def cosine(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float((first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second))
