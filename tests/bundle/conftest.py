from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.bundle import example


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with external data, to be read only."""
    folder = tmp_path_factory.mktemp("bundle")
    return example.bundle(example.save(example.linear_model(), folder / "artifact", "weights.bin"), folder / "deploy")


@pytest.fixture
def bundle(written: Path, tmp_path: Path) -> Path:
    """A copy of a good bundle, to be damaged."""
    return Path(shutil.copytree(written, tmp_path / "bundle"))
