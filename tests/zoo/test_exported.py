"""Programs of torch.export and TorchScript as baselines: they become ONNX models."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.artifact.run import session_at
from pipeline.errors import UserError
from pipeline.plan import InputSignature
from pipeline.zoo.source import InputSpec, ProgramModel, ScriptModel


class Step(nn.Module):
    """One step of a recurrent network, with named outputs and a plain argument."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.Linear(10, 6)

    def forward(self, frame: torch.Tensor, state: torch.Tensor, scale: float = 2.0) -> dict[str, torch.Tensor]:
        carried = torch.tanh(self.cell(torch.cat([frame * scale, state], 1)))
        return {"score": carried.sum(1, keepdim=True), "state": carried}


def program(path: Path, *, free: bool = True) -> ProgramModel:
    batch = {0: torch.export.Dim("N", min=1, max=64)}
    shapes = {"frame": batch, "state": batch} if free else None
    saved = torch.export.export(
        Step(), (torch.rand(2, 4),), {"state": torch.rand(2, 6)}, dynamic_shapes=shapes, strict=False
    )
    torch.export.save(saved, path)
    return ProgramModel(path=path)


def script(path: Path, net: nn.Module, *, frozen: bool = False) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(net.eval())
        torch.jit.save(torch.jit.freeze(scripted) if frozen else scripted, path)
    return path


class Both(nn.Module):
    """Two inputs of different shapes."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return first + second.sum(1, keepdim=True), second * 2


class AlwaysOne(nn.Module):
    """Works for one example only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, 4) * 2


@pytest.mark.parametrize(("free", "batch"), [(True, None), (False, 2)])
def test_a_program_tells_its_inputs_and_computes_the_same_as_onnx(
    free: bool, batch: int | None, tmp_path: Path
) -> None:
    model = program(tmp_path / "step.pt2", free=free)
    assert model.signature() == {
        "frame": InputSignature((batch, 4), "float32"), "state": InputSignature((batch, 6), "float32")
    }  # fmt: skip
    assert not model.write(tmp_path)
    session = session_at(tmp_path / "model.onnx")
    assert [value.name for value in session.get_outputs()] == ["score", "state_out"]
    frame, state = torch.rand(batch or 5, 4), torch.rand(batch or 5, 6)
    expected = Step()(frame, state)
    found = session.run(None, {"frame": frame.numpy(), "state": state.numpy()})
    np.testing.assert_allclose(found[1], expected["state"].detach().numpy(), rtol=1e-5, atol=1e-6)
    assert model.name == "step"


def test_a_program_that_changed_has_another_key_and_other_inputs(tmp_path: Path) -> None:
    model = program(tmp_path / "step.pt2")
    before = model.key(), model.signature()
    program(tmp_path / "step.pt2", free=False)
    assert model.key() != before[0]
    assert model.signature() != before[1]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_script_computes_the_same_as_onnx(frozen: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)).eval()
    path = script(tmp_path / "net.pt", net, frozen=frozen)
    model = ScriptModel(path=path, inputs={"image": InputSpec(shape=(3, 8, 8))})
    assert model.signature() == {"image": InputSignature((None, 3, 8, 8), "float32")}
    model.write(tmp_path)
    images = torch.rand(5, 3, 8, 8)
    found = session_at(tmp_path / "model.onnx").run(["output"], {"image": images.numpy()})[0]
    np.testing.assert_allclose(found, net(images).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_script_gets_its_inputs_by_the_names_of_its_arguments(tmp_path: Path) -> None:
    path = script(tmp_path / "both.pt", Both())
    inputs = {"second": InputSpec(shape=(3,)), "first": InputSpec(shape=(1,))}
    ScriptModel(path=path, inputs=inputs, outputs=("sum", "double")).write(tmp_path)
    feed = {"first": np.ones((2, 1), np.float32), "second": np.ones((2, 3), np.float32)}
    found = session_at(tmp_path / "model.onnx").run(["sum", "double"], feed)
    assert [array.max() for array in found] == [4, 2]


def test_a_script_for_one_example_gets_a_fixed_batch(tmp_path: Path) -> None:
    path = script(tmp_path / "one.pt", AlwaysOne())
    ScriptModel(path=path, inputs={"x": InputSpec(shape=(4,))}).write(tmp_path)
    assert session_at(tmp_path / "model.onnx").get_inputs()[0].shape == [1, 4]


def _damaged(path: Path) -> Path:
    program(path)
    path.write_bytes(path.read_bytes()[:300])
    return path


def _emptied(path: Path) -> Path:
    """A program whose graph is gone, in an archive that can be read."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/models/model.json", "{}")
        archive.writestr("net/archive_format", "pt2")
    return path


def _pickled(path: Path) -> Path:
    torch.save(nn.Linear(2, 2).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_damaged, "is not a program of torch.export, it is damaged, or no file of PyTorch's"),
        (_emptied, "can't be read as a program of torch.export: its graph is damaged"),
        (_pickled, "it is a file of torch.save: type model=torch model.factory=package.Class model.weights="),
        (lambda path: script(path, Both()), "it is a TorchScript archive: type model=torchscript model.path="),
    ],
)
def test_what_is_no_program_is_told_in_a_line(make: Callable[[Path], Path], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.path=") as caught:
        ProgramModel(path=make(tmp_path / "net.pt2")).signature()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "outputs", "says"),
    [
        (
            {"first": (1,), "third": (3,)},
            (),
            "forward of model.path=.* takes first, second: name the inputs as forward",
        ),
        ({"first": (1,), "second": (3,), "third": (1,)}, (), "name the inputs as forward does"),
        ({"first": (2,), "second": (3, 4)}, (), "can't be run on noise in the shape of model.inputs"),
        ({"first": (1,), "second": (3,)}, ("only",), r"type model.outputs=\[output_0,output_1\]"),
    ],
)
def test_inputs_and_outputs_that_do_not_fit_a_script_are_told_in_a_line(
    inputs: dict[str, tuple[int, ...]], outputs: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    path = script(tmp_path / "both.pt", Both())
    specs = {name: InputSpec(shape=shape) for name, shape in inputs.items()}
    with pytest.raises(UserError, match=says):
        ScriptModel(path=path, inputs=specs, outputs=outputs).write(tmp_path)
