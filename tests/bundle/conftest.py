from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import PACKAGE
from pipeline.bundle.licences import Licence
from tests.bundle import example
from tests.bundle.signing import Pair, curve, pair, signed_copy


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with external data, to be read only."""
    folder = tmp_path_factory.mktemp("bundle")
    artifact = example.save(example.linear_model(), folder / "artifact", "weights.bin")
    known = {"model": Licence("Apache-2.0", (PACKAGE.parent / "LICENSE",))}
    return example.bundle(artifact, folder / "deploy", known_licences=known)


@pytest.fixture
def bundle(written: Path, tmp_path: Path) -> Path:
    """A copy of a good bundle, to be damaged."""
    return Path(shutil.copytree(written, tmp_path / "bundle"))


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The key that signs."""
    return pair(tmp_path_factory.mktemp("signer"), "signer", curve())


@pytest.fixture(scope="session")
def signed_once(written: Path, signer: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed bundle, to be read only."""
    return signed_copy(written, tmp_path_factory.mktemp("signed") / "static_int8", signer)


@pytest.fixture
def signed(signed_once: Path, tmp_path: Path) -> Path:
    """A copy of a signed bundle, to be tampered with."""
    return Path(shutil.copytree(signed_once, tmp_path / "static_int8"))
