"""The PyTorch model in a bundle, which loads without its class."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.artifact import Artifact
from pipeline.artifact.torch_module import load_module
from pipeline.bundle import verify_bundle
from pipeline.bundle.program import PROGRAM_FILE, write_program
from pipeline.errors import Skipped
from pipeline.stages.prune import Prune
from tests.bundle import example
from tests.stages.models import Workplace, resnet, resnet_spec, spec_of

pytestmark = pytest.mark.slow


class Undecided(nn.Module):
    """Its code depends on its values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(x)
        return found if float(found.sum()) > 0 else -found


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "work")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    workplace, spec = Workplace(tmp_path_factory.mktemp("pruned")), resnet_spec((16, 32))
    return workplace.build(Prune(round_to=1), workplace.torch(resnet(spec), spec))


@pytest.fixture(scope="module")
def program(pruned: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / PROGRAM_FILE
    write_program(pruned, path)
    return path


def test_a_pruned_model_loads_without_its_class_in_a_fresh_process(
    pruned: Artifact, program: Path, tmp_path: Path
) -> None:
    module = load_module(pruned.path)
    image = torch.randn(5, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    np.save(tmp_path / "image.npy", image.numpy())
    code = (
        "import sys, numpy, torch\n"
        "sys.modules['pipeline'] = None\n"
        "module = torch.export.load(sys.argv[1]).module()\n"
        "output = module(torch.from_numpy(numpy.load('image.npy')))\n"
        "numpy.save('output.npy', output.detach().numpy())\n"
    )
    subprocess.run([sys.executable, "-c", code, str(program)], check=True, cwd=tmp_path)
    with torch.no_grad():
        np.testing.assert_allclose(np.load(tmp_path / "output.npy"), module(image).numpy(), atol=1e-5)


def test_a_program_holds_no_paths_of_this_machine(program: Path) -> None:
    assert b"resnet.py" not in program.read_bytes()


def test_a_model_that_can_not_be_followed_is_a_reason(workplace: Workplace, tmp_path: Path) -> None:
    source = workplace.torch(Undecided(), spec_of(Undecided, {"x": (4,)}, ["logits"]))
    with pytest.raises(Skipped, match=r"torch\.export can't follow it"):
        write_program(source, tmp_path / PROGRAM_FILE)
    assert not (tmp_path / PROGRAM_FILE).exists()


def test_a_bundle_has_the_program_of_a_changed_model(pruned: Artifact, tmp_path: Path) -> None:
    artifact = example.save(example.linear_model(), tmp_path / "artifact")
    folder = example.bundle(artifact, tmp_path / "deploy", trained=pruned)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["program"] == PROGRAM_FILE
    assert PROGRAM_FILE in manifest["files"]
    assert "torch.export.load" in (folder / "README.md").read_text()
    assert all(check.passed for check in verify_bundle(folder))


def test_a_bundle_without_one_is_none_the_worse(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(function: Callable[..., Any], *arguments: Any, **_: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr("pipeline.bundle.write.run", here)  # PyTorch is imported already
    source = workplace.torch(Undecided(), spec_of(Undecided, {"x": (4,)}, ["logits"]))
    artifact = example.save(example.linear_model(), tmp_path / "artifact")
    folder = example.bundle(artifact, tmp_path / "deploy", trained=source)
    assert not (folder / PROGRAM_FILE).exists()
    assert "program" not in json.loads((folder / "manifest.json").read_text())
    assert all(check.passed for check in verify_bundle(folder))
