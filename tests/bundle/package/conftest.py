from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.bundle.package.write import write_package
from tests.bundle.package import example


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The variants' bundles by name, to be read only."""
    return example.bundles(tmp_path_factory.mktemp("variants"))


@pytest.fixture(scope="session")
def written(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of all variants, to be read only."""
    return write_package(tmp_path_factory.mktemp("package") / "example.ortpackage", bundles)


@pytest.fixture
def package(written: Path, tmp_path: Path) -> Path:
    """A copy of a good package, to be damaged."""
    return Path(shutil.copytree(written, tmp_path / "package"))
