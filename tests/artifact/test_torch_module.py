"""PyTorch models on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from pipeline.artifact.torch_module import (
    ModelInput,
    ModelSpec,
    as_tensors,
    example_inputs,
    load_module,
    load_spec,
    make_module,
    save_module,
    spec_of_pruned,
)
from pipeline.errors import UserError
from tests.stages.models import Overlapping, Tied, Unready, resnet, resnet_spec, spec_of


def test_a_saved_module_comes_back_with_its_spec(tmp_path: Path) -> None:
    spec = resnet_spec()
    module = resnet(spec)
    save_module(module, spec, tmp_path)
    again = load_module(tmp_path)
    (image,) = example_inputs(spec)
    assert torch.equal(again(image), module.eval()(image))
    assert not again.training
    assert load_spec(tmp_path) == spec


def test_nothing_on_disk_is_a_pickle(tmp_path: Path) -> None:
    spec = resnet_spec()
    save_module(resnet(spec), spec, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"model.json", "weights.safetensors"}
    json.loads((tmp_path / "model.json").read_text())


def test_a_module_in_another_memory_format_can_be_saved(tmp_path: Path) -> None:
    spec = resnet_spec()
    module = resnet(spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_module(module, spec, tmp_path)
    (image,) = example_inputs(spec)
    torch.testing.assert_close(load_module(tmp_path)(image), module(image))


def test_shared_weights_are_stored_once_and_stay_shared(tmp_path: Path) -> None:
    spec = spec_of(Tied, {"x": (4,)}, ["y"])
    module = Tied()
    save_module(module, spec, tmp_path)
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert len(list(file.keys())) == 1
    again = load_module(tmp_path)
    assert again.get_parameter("encode.weight") is again.get_parameter("decode.weight")
    assert torch.equal(again.get_parameter("encode.weight"), module.encode.weight)


def test_a_model_that_an_earlier_version_pruned_is_loaded_by_its_history(tmp_path: Path) -> None:
    import torch_pruning

    spec = resnet_spec((16, 32))
    module = resnet(spec).eval()
    graph = torch_pruning.DependencyGraph().build_dependency(module, example_inputs(spec))
    layer = module.get_submodule("blocks.1.conv1")
    graph.get_pruning_group(layer, torch_pruning.prune_conv_out_channels, [0, 3, 5]).prune()
    history = tuple((name, bool(out), tuple(gone)) for name, out, gone in graph.pruning_history())
    save_module(module, replace(spec, pruning_history=(history,)), tmp_path)
    values = json.loads((tmp_path / "model.json").read_text())
    del values["shapes"], values["attributes"]
    (tmp_path / "model.json").write_text(json.dumps(values))
    again = load_module(tmp_path)
    (image,) = example_inputs(spec)
    torch.testing.assert_close(again(image), module(image))
    assert spec_of_pruned(again, load_spec(tmp_path)).shapes == {}


def test_shapes_and_integers_that_pruning_changed_come_back(tmp_path: Path) -> None:
    spec = resnet_spec()
    module = resnet(spec).eval()
    layer = module.get_submodule("blocks.1")
    inner = layer.get_submodule("conv1")
    assert isinstance(inner, torch.nn.Conv2d)
    inner.weight, inner.out_channels = torch.nn.Parameter(torch.ones(3, 8, 3, 3)), 3
    changed = spec_of_pruned(module, spec)
    assert changed.shapes == {"blocks.1.conv1.weight": [3, 8, 3, 3]}
    assert changed.attributes == {"blocks.1.conv1": {"out_channels": 3}}
    save_module(module, changed, tmp_path)
    assert load_spec(tmp_path) == changed
    again = load_module(tmp_path).get_submodule("blocks.1.conv1")
    assert torch.equal(again.get_parameter("weight"), torch.ones(3, 8, 3, 3))
    assert vars(again)["out_channels"] == 3


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    spec = resnet_spec()
    save_module(resnet(spec), spec, tmp_path)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"num_classes": 4', '"num_classes": 5'))
    with pytest.raises(UserError, match=r"can't be made from pipeline.zoo.resnet.SmallResNet; has its code changed"):
        load_module(tmp_path)


def test_a_factory_that_is_gone_is_refused(tmp_path: Path) -> None:
    spec = resnet_spec()
    save_module(resnet(spec), spec, tmp_path)
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace("SmallResNet", "HugeResNet"))
    with pytest.raises(UserError, match="HugeResNet"):
        load_module(tmp_path)


def test_a_model_whose_code_has_changed_since_is_not_made_of_the_new_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_net.py").write_text("from torch import nn\nclass Net(nn.ReLU): ...\n")
    spec = ModelSpec(
        factory={"_target_": "own_net.Net"}, inputs=(ModelInput(name="input", shape=(3,)),), outputs=("y",)
    )
    save_module(make_module(spec), spec, tmp_path)
    load_module(tmp_path)
    (tmp_path / "own_net.py").write_text("from torch import nn\nclass Net(nn.Tanh): ...\n")
    with pytest.raises(UserError, match=r"the code of own_net\.Net has changed since"):
        load_module(tmp_path)


def test_a_buffer_whose_values_share_memory_is_saved_and_loaded(tmp_path: Path) -> None:
    spec = spec_of(Overlapping, {"x": (3,)}, ["y"])
    save_module(make_module(spec), spec, tmp_path)
    assert load_module(tmp_path)(torch.zeros(2, 3)).sum() == 6


def test_what_parallel_training_or_compiling_puts_around_a_module_is_taken_off() -> None:
    spec = ModelSpec(
        factory={"_target_": "tests.stages.models.wrapped"}, inputs=(ModelInput(name="x", shape=(3,)),), outputs=("y",)
    )
    module = make_module(spec)
    assert isinstance(module, torch.nn.Linear)
    assert module(torch.ones(2, 3)).shape == (2, 2)


def test_layers_without_shapes_or_memory_get_them(tmp_path: Path) -> None:
    spec = spec_of(Unready, {"x": (3,)}, ["y"])
    module = make_module(spec)
    assert module.get_parameter("lazy.weight").shape == (2, 3)
    assert module.get_parameter("meta.weight").device.type == "cpu"
    torch.nn.init.ones_(module.get_parameter("meta.weight"))
    save_module(module, spec, tmp_path)
    assert load_module(tmp_path).get_parameter("meta.weight").sum() == 4


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ("nowhere.Model", ModuleNotFoundError, "nowhere"),
        ("pipeline.zoo.resnet.Nothing", AttributeError, "Nothing"),
        ("builtins.dict", TypeError, "gives a dict, not a torch.nn.Module"),
    ],
)
def test_a_factory_that_makes_no_module_is_refused(target: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make_module(ModelSpec(factory={"_target_": target}, inputs=(), outputs=("y",)))


def test_example_inputs_have_the_shapes_and_types_of_the_spec() -> None:
    inputs = (ModelInput(name="ids", shape=(7,), dtype="int64"), ModelInput(name="image", shape=(1, 2)))
    spec = ModelSpec(factory={}, inputs=inputs, outputs=("y",))
    ids, image = example_inputs(spec, batch=3)
    assert (ids.shape, ids.dtype) == ((3, 7), torch.int64)
    assert (image.shape, image.dtype) == ((3, 1, 2), torch.float32)
    assert torch.equal(image, example_inputs(spec, batch=3)[1])


def test_inputs_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"dtype of input 'x' must be one of float32, .* \(got 'float'\)"):
        ModelInput(name="x", shape=(1,), dtype="float")
    with pytest.raises(ValueError, match=r"shape of input 'x' must hold sizes above 0 \(got \[0, 3\]\)"):
        ModelInput(name="x", shape=(0, 3))


def test_nested_outputs_become_a_list() -> None:
    one, two, three = (torch.tensor([value]) for value in (1, 2, 3))
    assert as_tensors(one) == [one]
    assert [int(tensor) for tensor in as_tensors((one, {"a": two, "b": [three]}))] == [1, 2, 3]
