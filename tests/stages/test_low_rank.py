"""Low-rank factorization."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.artifact.run import run
from pipeline.artifact.torch_module import load_module, load_spec
from pipeline.errors import Skipped, StageFailed
from pipeline.plan import Stage
from pipeline.stages.export import ExportOnnx
from pipeline.stages.finetune import Finetune
from pipeline.stages.low_rank import LowRank
from pipeline.stages.prune import Prune
from tests.stages.models import SHAPE, TextDataset, Workplace, resnet, resnet_spec, spec_of
from tests.stages.refusal import refusal

STAGE = LowRank(energy=0.9, min_features=8, round_to=None)
RELOAD = """
import sys
from pathlib import Path
import numpy as np, torch
from pipeline.artifact.torch_module import load_module
torch.set_num_threads(1)
with torch.inference_mode():
    output = load_module(Path(sys.argv[1]))(torch.from_numpy(np.load(sys.argv[2])))
np.save(sys.argv[3], output.numpy())
"""


class Poor(nn.Module):
    """A convolution and a linear layer whose weights have rank 3."""

    def __init__(self, **conv: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 16, 5, **conv)
        self.norm = nn.BatchNorm2d(16)
        self.second = nn.Conv2d(16, 16, 3, bias=False)
        self.head = nn.Linear(16, 12)
        with torch.no_grad():
            for layer in (self.conv, self.second, self.head):
                matrix = layer.weight.flatten(1)
                weight = torch.randn(len(matrix), 3) @ torch.randn(3, matrix.shape[1]) / 10
                layer.weight.copy_(weight.view_as(layer.weight))

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.norm(self.conv(image)))))
        result: Tensor = self.head(x.mean((2, 3)))
        return result


class LeftAlone(nn.Module):
    """Layers that can't be factorized, each for a reason of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=2)
        self.tied = nn.Linear(16, 16)
        self.tied_too = nn.Linear(16, 16)
        self.tied_too.weight = self.tied.weight
        self.twice = nn.Linear(16, 16)
        self.again = self.twice
        self.hooked = nn.Linear(16, 16)
        self.hooked.register_forward_pre_hook(lambda layer, values: values)
        self.across = nn.Conv1d(16, 16, 1)
        self.reached = nn.Linear(16, 16)
        self.small = nn.Linear(16, 4)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(x).mean(3)
        x = self.across(x).transpose(1, 2)
        x = self.encoder(self.twice(self.again(self.tied_too(self.tied(self.hooked(x))))))
        result: Tensor = self.small(nn.functional.linear(x, self.reached.weight))
        return result


def poor(workplace: Workplace, **conv: Any) -> Artifact:
    torch.manual_seed(0)
    return workplace.torch(Poor(**conv), spec_of(Poor, {"image": SHAPE}, ["logits"], **conv), "poor")


@pytest.mark.parametrize(
    "conv",
    [{}, {"stride": 2, "padding": 2}, {"dilation": 2, "bias": False}, {"padding": "same", "padding_mode": "reflect"}],
    ids=str,
)
def test_layers_of_low_rank_lose_nothing_and_cost_less(workplace: Workplace, conv: Mapping[str, Any]) -> None:
    source = poor(workplace, **conv)
    small = workplace.build(replace(STAGE, energy=0.9999999), source)
    check_output(source, small, 1e-4, workplace.context().feed("calibration", 8))
    assert workplace.notes["ranks"] == {"conv": [3, 16], "second": [3, 16], "head": [3, 12]}
    for fact in ("parameters", "macs"):
        assert workplace.notes[fact]["after"] < 0.5 * workplace.notes[fact]["before"]


def test_what_is_kept_is_the_nearest_matrix_with_the_asked_share_of_the_energy(
    workplace: Workplace, torch_model: Artifact
) -> None:
    module = load_module(workplace.build(STAGE, torch_model).path)
    whole = load_module(torch_model.path)
    assert workplace.notes["ranks"]
    for name, (rank, full) in workplace.notes["ranks"].items():
        matrix = whole.get_parameter(f"{name}.weight").detach().flatten(1)
        first, second = (module.get_parameter(f"{name}.{index}.weight").detach().flatten(1) for index in (0, 1))
        values = torch.linalg.svdvals(matrix)
        lost = (matrix - second @ first).square().sum() / matrix.square().sum()
        assert (len(values), len(first)) == (full, rank)
        assert lost == pytest.approx(float(values[rank:].square().sum() / values.square().sum()), abs=1e-5)
        assert lost <= 0.1
        assert values[: rank - 1].square().sum() < 0.9 * values.square().sum(), "one less would not do"


def test_the_share_of_ranks_can_be_asked_for(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.build(LowRank(energy=None, rank_ratio=0.25, min_features=16, round_to=None), torch_model)
    assert workplace.notes["ranks"]
    assert all(rank == full / 4 for rank, full in workplace.notes["ranks"].values())


def test_ranks_are_rounded_up(workplace: Workplace, torch_model: Artifact) -> None:
    workplace.build(LowRank(energy=None, rank_ratio=0.3, min_features=16, round_to=4), torch_model)
    assert all(rank == 8 for rank, _ in workplace.notes["ranks"].values())


def test_a_fresh_process_gives_the_same_outputs(workplace: Workplace, torch_model: Artifact, tmp_path: Path) -> None:
    small = workplace.build(STAGE, torch_model)
    feed = workplace.context().feed("calibration", 16)
    np.save(tmp_path / "in.npy", feed["image"])
    arguments = [small.path, tmp_path / "in.npy", tmp_path / "out.npy"]
    subprocess.run([sys.executable, "-W", "error", "-c", RELOAD, *map(str, arguments)], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), run(small, feed)[0])


@pytest.mark.parametrize("order", ["prune first", "prune last"])
def test_it_goes_with_pruning_in_either_order(workplace: Workplace, order: str) -> None:
    spec = resnet_spec((16, 32))
    source = workplace.torch(resnet(spec), spec)
    prune, low_rank = Prune(pruning_ratio=0.25, round_to=4), STAGE
    stages: list[Stage] = [prune, low_rank] if order == "prune first" else [low_rank, prune]
    first = workplace.build(stages[0], source, "first")
    last = workplace.build(stages[1], first, "last")
    trained = workplace.build(Finetune(epochs=1, batch_size=16), last, "trained")
    onnx = workplace.build(ExportOnnx(), trained, "onnx")
    check_output(trained, onnx, 1e-4, workplace.context().feed("calibration", 8))
    sizes = [
        sum(weight.numel() for weight in load_module(path).parameters())
        for path in (source.path, first.path, last.path)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[1] < sizes[0]


def test_a_second_time_cuts_further(workplace: Workplace) -> None:
    source = poor(workplace)
    once = workplace.build(LowRank(energy=None, rank_ratio=0.5, min_features=8, round_to=None), source, "once")
    twice = workplace.build(LowRank(energy=0.99, min_features=4, round_to=None), once, "twice")
    assert len(load_spec(twice.path).rewrites) == 2
    check_output(once, twice, None, workplace.context().feed("calibration", 8))


def test_an_encoders_layers_are_factorized(workplace: Workplace, torch_encoder: Artifact) -> None:
    workplace.data = TextDataset()
    small = workplace.build(LowRank(energy=None, rank_ratio=0.25, min_features=32), torch_encoder)
    assert len(workplace.notes["ranks"]) > 4
    check_output(torch_encoder, small, None, workplace.context().feed("calibration", 8))


def test_layers_that_can_not_be_factorized_are_left_alone_with_the_reason(workplace: Workplace) -> None:
    source = workplace.torch(LeftAlone(), spec_of(LeftAlone, {"x": (16, 4, 4)}, ["y"]))
    with pytest.raises(Skipped, match="no layer becomes cheaper by a lower rank") as caught:
        workplace.build(LowRank(energy=None, rank_ratio=0.1, min_features=8, round_to=None), source)
    reasons = dict(part.split(": ", 1) for part in str(caught.value).partition("(")[2].rstrip(")").split("; "))
    assert reasons["grouped"] == "has 2 groups"
    assert reasons["tied"] == reasons["tied_too"] == "shares its weights with another layer"
    assert reasons["twice"] == "shares its weights with another layer"
    assert reasons["hooked"] == "has hooks"
    assert reasons["across"] == "is a Conv1d, not nn.Linear or nn.Conv2d itself"
    assert reasons["reached"].startswith("the model reaches into it: ")
    assert reasons["small"] == "too small: 4 features, min_features=8"
    assert reasons["encoder.linear1"].startswith("the model reaches into it: ")
    assert reasons["encoder.self_attn.out_proj"].startswith("is a NonDynamicallyQuantizableLinear")


def test_named_layers_and_those_that_would_not_be_cheaper_are_left_alone(
    workplace: Workplace, torch_model: Artifact
) -> None:
    workplace.build(replace(STAGE, ignored_layers=("blocks.1",)), torch_model)
    alone = workplace.notes["left_alone"]
    assert alone["blocks.1.conv1"] == "named in ignored_layers"
    assert not any(name.startswith("blocks.1") for name in workplace.notes["ranks"])
    with pytest.raises(Skipped, match="rank 16 of 16 would take as many operations or more"):
        workplace.build(replace(STAGE, energy=0.9999999), torch_model, "whole")
    with pytest.raises(StageFailed, match="ignored_layers: 'nothing' matches no layer"):
        workplace.build(replace(STAGE, ignored_layers=("nothing",)), torch_model, "unknown")


def test_fields_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="set either energy or rank_ratio, and the other to null"):
        LowRank(rank_ratio=0.5)
    with pytest.raises(ValueError, match="set either energy or rank_ratio"):
        LowRank(energy=None)
    assert "stage.energy must be below 1 (got 1)" in refusal(LowRank, energy=1)
    assert "stage.min_features must be at least 1 (got 0)" in refusal(LowRank, min_features=0)
