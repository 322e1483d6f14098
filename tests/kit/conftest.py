from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.kit.pack import Packed
from tests.kit import example


@dataclass(frozen=True)
class Ran:
    """A kit that was run, in a folder that holds the home run, too: to be read only."""

    folder: Path
    packed: Packed
    said: subprocess.CompletedProcess[str]

    @property
    def samples(self) -> Path:
        return self.folder / f"samples-{self.packed.id}-box"


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("kit")
    packed, _ = example.packed(folder)
    packages = example.bare_packages(folder / "packages")
    said = example.run_kit(folder / "kit" / "kit.py", packages, "--name", "box", cwd=folder)
    return Ran(folder, packed, said)


@pytest.fixture
def samples(ran: Ran, tmp_path: Path) -> Path:
    """A copy of what the kit wrote, to be damaged or reported."""
    return Path(shutil.copytree(ran.samples, tmp_path / "samples"))
