"""Artifacts that several tests start from, made once for all processes of a parallel run."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from numpy.typing import NDArray

from pipeline.artifact import Artifact, folder_digest
from pipeline.plan import Stage
from pipeline.stages.export import ExportOnnx
from tests.stages.models import MemoryDataset, Workplace, encoder, encoder_spec, resnet, resnet_spec


def once(folder: Path, stage: Stage, source: Artifact) -> Artifact:
    """A stage's output in a folder: the first process that asks builds it, and others wait."""
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            built = Workplace(Path(mkdtemp(dir=folder.parent))).build(stage, source)
            built.path.rename(folder)
    return Artifact(folder, stage.produces, folder_digest(folder))


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture(scope="session")
def torch_model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    spec = resnet_spec()
    return Workplace(tmp_path_factory.mktemp("torch")).torch(resnet(spec), spec)


@pytest.fixture(scope="session")
def onnx_model(torch_model: Artifact, shared: Path) -> Artifact:
    return once(shared / "onnx_model", ExportOnnx(), torch_model)


@pytest.fixture(scope="session")
def torch_encoder(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    spec = encoder_spec()
    return Workplace(tmp_path_factory.mktemp("torch_encoder")).torch(encoder(spec), spec)


@pytest.fixture(scope="session")
def traced_encoder(torch_encoder: Artifact, shared: Path) -> Artifact:
    """By the older exporter."""
    return once(shared / "traced_encoder", ExportOnnx(exporter="torchscript", opset=17), torch_encoder)


@pytest.fixture(scope="session")
def onnx_encoder(torch_encoder: Artifact, shared: Path) -> Artifact:
    return once(shared / "onnx_encoder", ExportOnnx(), torch_encoder)


@pytest.fixture
def feed(workplace: Workplace) -> dict[str, NDArray[Any]]:
    return workplace.context().feed("calibration", 20)


@pytest.fixture
def empty() -> MemoryDataset:
    return MemoryDataset(calibration=0)


@pytest.fixture
def image() -> NDArray[Any]:
    return np.zeros((1, 1, 12, 12), np.float32)
