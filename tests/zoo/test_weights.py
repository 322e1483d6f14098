"""A network's weights from files as people have them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from pipeline.errors import UserError
from pipeline.zoo.weights import load_weights


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return dict(Net().state_dict())


def loaded(content: Any, path: Path, ignored: tuple[str, ...] = ()) -> tuple[Net, str]:
    torch.save(content, path)
    net = Net()
    return net, " ".join(load_weights(net, path, ignored))


def prefixed(prefix: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


@pytest.mark.parametrize(
    ("prefix", "said"),
    [("module.", "'module.'"), ("_orig_mod.", "_orig_mod"), ("module._orig_mod.", "module"), ("model.", "'model.'")],
)
def test_what_a_wrapper_puts_before_names_is_taken_off_and_said(
    tmp_path: Path, state: dict[str, torch.Tensor], prefix: str, said: str
) -> None:
    net, remark = loaded(prefixed(prefix, state), tmp_path / "w.pt")
    assert torch.equal(net.head.weight, state["head.weight"])
    assert said in remark


def test_a_state_dict_among_optimizers_and_settings_is_found(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    checkpoint = {
        "state_dict": {**prefixed("model.", state), "loss.weight": torch.ones(6)},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "epoch": 3,
    }
    net, remark = loaded(checkpoint, tmp_path / "w.ckpt", ("loss.*",))
    assert torch.equal(net.head.weight, state["head.weight"])
    assert "'state_dict'" in remark


def test_weights_that_are_shared_are_needed_once(tmp_path: Path) -> None:
    net, again = Net(), Net()
    save_model(net, str(tmp_path / "w.safetensors"))
    load_weights(again, tmp_path / "w.safetensors", ())
    assert again.head.weight is again.embed.weight
    assert torch.equal(again.embed.weight, net.embed.weight)


def test_shared_weights_that_differ_are_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(UserError, match="one and the same in the model and differ"):
        loaded({**state, "head.weight": torch.zeros(6, 4)}, tmp_path / "w.pt")


def test_weights_in_several_files_are_read_by_their_index(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    parts = {"a.safetensors": ["embed.weight"], "b.safetensors": [name for name in state if name.startswith("norm")]}
    for file, names in parts.items():
        save_file({name: state[name].clone() for name in names}, tmp_path / file)
    index = {"weight_map": {name: file for file, names in parts.items() for name in names}}
    (tmp_path / "index.json").write_text(json.dumps(index))
    net = Net()
    load_weights(net, tmp_path / "index.json", ())
    assert torch.equal(net.embed.weight, state["embed.weight"])


def test_what_does_not_fit_is_refused_in_a_line(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(UserError, match=r"the model has no extra; to leave .* model\.ignored_weights=\[extra\]$"):
        loaded({**state, "extra": torch.ones(1)}, tmp_path / "w.pt")
    smaller = {name: value for name, value in state.items() if name != "norm.weight"}
    with pytest.raises(UserError, match=r"lacks norm\.weight; norm\.bias is \[3\] in the file and \[4\] in the model$"):
        loaded({**smaller, "norm.bias": torch.ones(3)}, tmp_path / "w.pt")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_whole_model_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"whole pickled tests\.zoo\.test_weights\.Net.*state_dict\(\), ") as refused:
        loaded(Net(), tmp_path / "w.pt")
    typed = str(refused.value).partition("typing in Python: ")[2]
    exec(typed, {})
    load_weights(Net(), tmp_path / "w.state_dict.pt", ())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"), (b"<html></html>" * 9, "begins with"), (b"PK\x03\x04damaged", "begins with"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_what_is_no_file_of_weights_is_refused_in_a_line(tmp_path: Path, content: bytes, said: str, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as refused:
        load_weights(Net(), tmp_path / name, ())
    assert len(str(refused.value).splitlines()) == 1
    assert "weights_only" not in str(refused.value)


def test_an_object_beside_the_weights_is_named(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(UserError, match=r"an object of argparse\.Namespace"):
        loaded({"args": argparse.Namespace(lr=1), "model": state}, tmp_path / "w.pt")
