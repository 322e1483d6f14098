"""Where a baseline comes from."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from pipeline.artifact.torch_module import load_module
from pipeline.errors import UserError
from pipeline.plan import InputSignature
from pipeline.zoo import onnx_model
from pipeline.zoo.resnet import SmallResNet
from pipeline.zoo.source import InputSpec, OnnxModel, TorchModel
from tests.importing.graphs import save, two_layers, value

TINY = {"widths": [4, 8], "blocks": [1, 1]}


def torch_model(weights: Path | None = None, **changes: object) -> TorchModel:
    fields: dict[str, object] = {
        "name": "tiny",
        "factory": "pipeline.zoo.resnet.SmallResNet",
        "arguments": TINY,
        "weights": weights,
        "inputs": {"image": InputSpec(shape=(1, 28, 28))},
        "outputs": ("logits",),
    }
    return TorchModel(**{**fields, **changes})  # type: ignore[arg-type]


def onnx_file(path: Path, external: str | None = None) -> Path:
    weight = numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if external:
        onnx.save(model, path, save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save(model, path)
    return path


def test_a_pytorch_model_is_written_with_its_weights(tmp_path: Path) -> None:
    model = SmallResNet(widths=(4, 8), blocks=(1, 1)).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    out = tmp_path / "out"
    out.mkdir()
    torch_model(tmp_path / "w.safetensors").write(out)
    image = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(load_module(out)(image), model(image))


def test_a_state_dict_of_torch_save_is_read_too(tmp_path: Path) -> None:
    torch.save(SmallResNet(widths=(4, 8), blocks=(1, 1)).state_dict(), tmp_path / "w.pt")
    out = tmp_path / "out"
    out.mkdir()
    torch_model(tmp_path / "w.pt").write(out)
    assert (out / "weights.safetensors").exists()


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("executed"),))  # type: ignore[return-value]


def test_no_code_in_a_weights_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").write_bytes(pickle.dumps(_RunsCode(), protocol=2))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError, match="can't be read"):
        torch_model(tmp_path / "w.pt").write(out)
    assert not (tmp_path / "executed").exists()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_file(SmallResNet(widths=(4, 4), blocks=(1, 1)).state_dict(), tmp_path / "w.safetensors")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError, match=r"do not fit pipeline\.zoo.resnet\.SmallResNet"):
        torch_model(tmp_path / "w.safetensors").write(out)


def test_a_missing_weights_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.safetensors does not exist"):
        torch_model(tmp_path / "none.safetensors").key()


def test_changed_code_of_the_factory_changes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_model.py").write_text("class Net: ...\n")
    before = torch_model(factory="own_model.Net").key()
    (tmp_path / "own_model.py").write_text("class Net:\n    deeper = True\n")
    assert torch_model(factory="own_model.Net").key() != before


@pytest.mark.parametrize("factory", ["no_such_package.Net", "pipeline.zoo.resnet.NoNet"])
def test_a_factory_that_is_not_there_is_refused(tmp_path: Path, factory: str) -> None:
    with pytest.raises(UserError, match=f"model.factory={factory}"):
        torch_model(factory=factory).write(tmp_path)


OWN = """
import sys
import torch
from torch import nn

class Random(nn.Module):
    def forward(self, image):
        return nn.functional.dropout(image, 0.5)

class Raises(nn.Module):
    def __init__(self):
        raise KeyError("width")

def leaves():
    sys.exit(3)

class Missing(nn.Linear):
    def __init__(self):
        super().__init__(4, 4, device="meta")
"""


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("Random", "random: output 'logits' is another one each time"),
        ("Raises", r"KeyError: 'width' \(.*own_trial\.py, line 12\)"),
        ("leaves", r"it called sys\.exit\(3\) \(.*own_trial\.py, line 15\)"),
        ("Missing", "the model has no weights"),
    ],
)
def test_a_model_that_can_not_be_built_upon_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str, said: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_trial.py").write_text(OWN)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError, match=said):
        torch_model(factory=f"own_trial.{factory}", arguments={}).write(out)


def test_an_onnx_file_tells_its_inputs(tmp_path: Path) -> None:
    model = OnnxModel(path=onnx_file(tmp_path / "m.onnx"))
    assert model.signature() == {"x": InputSignature((None, 4), "float32")}


def written(path: Path, out: Path) -> onnx.ModelProto:
    out.mkdir()
    OnnxModel(path=path).write(out)
    return onnx.load(out / "model.onnx")


@pytest.mark.parametrize("external", ["m.data", "weights of m/all.bin", "model.onnx"])
def test_external_data_goes_into_the_file_and_is_part_of_its_key(tmp_path: Path, external: str) -> None:
    (tmp_path / external).parent.mkdir(exist_ok=True)
    path = onnx_file(tmp_path / "m.onnx", external=external)
    before = OnnxModel(path=path).key()
    model = written(path, tmp_path / "out")
    np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[0]), np.ones((4, 3)))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.onnx"]
    (tmp_path / external).write_bytes(bytes(48))
    assert OnnxModel(path=path).key() != before


@pytest.mark.parametrize("external", ["all.bin", "model.onnx"])
def test_external_data_of_a_large_model_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, external: str
) -> None:
    monkeypatch.setattr(onnx_model, "SINGLE_FILE_BYTES", 0)
    monkeypatch.setattr(onnx_model, "SMALL_BYTES", 0)
    model = written(onnx_file(tmp_path / "m.onnx", external=external), tmp_path / "out")
    np.testing.assert_array_equal(numpy_helper.to_array(model.graph.initializer[0]), np.ones((4, 3)))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.onnx", "model.onnx.data"}


def test_external_data_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx", external="m.data")
    (tmp_path / "m.data").write_bytes(bytes(40))
    with pytest.raises(UserError, match=r"40 bytes, and tensor 'w' lies at 0 to 48"):
        written(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("../secret", "outside its folder"),
        ("{folder}/../secret", "outside its folder"),
        ("/dev/zero", "outside its folder"),
        ("link", "outside its folder"),
        ("pipe", "does not exist"),
        ("", "does not exist"),
    ],
)
def test_external_data_that_is_no_file_of_the_folder_is_refused(tmp_path: Path, location: str, reason: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(48))
    (folder / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")
    path = onnx_file(folder / "m.onnx", external="m.data")
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location.format(folder=folder)
    path.write_bytes(model.SerializeToString())
    for asked in (OnnxModel(path=path).key, lambda: OnnxModel(path=path).write(tmp_path / "out")):
        with pytest.raises(UserError, match=reason):
            asked()


def test_a_pointer_of_git_lfs_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    with pytest.raises(UserError, match="type git lfs pull"):
        OnnxModel(path=tmp_path / "m.onnx").signature()


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [(TensorProto.STRING, "str"), (TensorProto.BFLOAT16, "float32"), (TensorProto.FLOAT16, "float16")],
)
def test_an_input_tells_the_type_that_it_is_fed(tmp_path: Path, kind: int, wanted: str) -> None:
    save(two_layers(inputs=[value("x", [0, -1], kind)]), tmp_path)
    assert OnnxModel(path=tmp_path / "model.onnx").signature() == {"x": InputSignature((None, None), wanted)}


def test_an_input_without_a_shape_takes_any(tmp_path: Path) -> None:
    save(two_layers(inputs=[value("x", None)]), tmp_path)
    assert OnnxModel(path=tmp_path / "model.onnx").signature() == {"x": InputSignature(None, "float32")}


def test_an_input_that_can_not_be_fed_is_refused(tmp_path: Path) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    for entry, reason in (
        (helper.make_value_info("x", kind), "input 'x' is a sequence, and only tensors can be fed"),
        (value("x", ["n"], TensorProto.FLOAT8E4M3FN), "input 'x' is of type float8_e4m3fn"),
    ):
        save(two_layers(inputs=[entry]), tmp_path)
        with pytest.raises(UserError, match=reason):
            OnnxModel(path=tmp_path / "model.onnx").signature()


def test_a_truncated_onnx_file_is_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match="is not a whole ONNX file"):
        OnnxModel(path=path).key()


def test_an_empty_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(UserError, match="is not a whole ONNX file"):
        OnnxModel(path=tmp_path / "m.onnx").key()
