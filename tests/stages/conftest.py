"""Artifacts that several tests start from, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.artifact import Artifact
from pipeline.stages.export import ExportOnnx
from tests.stages.models import MemoryDataset, Workplace, encoder, encoder_spec, resnet, resnet_spec


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


@pytest.fixture(scope="session")
def torch_model(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    spec = resnet_spec()
    return Workplace(tmp_path_factory.mktemp("torch")).torch(resnet(spec), spec)


@pytest.fixture(scope="session")
def onnx_model(torch_model: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return Workplace(tmp_path_factory.mktemp("onnx")).build(ExportOnnx(), torch_model)


@pytest.fixture(scope="session")
def torch_encoder(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    spec = encoder_spec()
    return Workplace(tmp_path_factory.mktemp("torch_encoder")).torch(encoder(spec), spec)


@pytest.fixture(scope="session")
def traced_encoder(torch_encoder: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """By the older exporter."""
    stage = ExportOnnx(exporter="torchscript", opset=17)
    return Workplace(tmp_path_factory.mktemp("traced")).build(stage, torch_encoder)


@pytest.fixture(scope="session")
def onnx_encoder(torch_encoder: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return Workplace(tmp_path_factory.mktemp("onnx_encoder")).build(ExportOnnx(), torch_encoder)


@pytest.fixture
def feed(workplace: Workplace) -> dict[str, NDArray[Any]]:
    return workplace.context().feed("calibration", 20)


@pytest.fixture
def empty() -> MemoryDataset:
    return MemoryDataset(calibration=0)


@pytest.fixture
def image() -> NDArray[Any]:
    return np.zeros((1, 1, 12, 12), np.float32)
