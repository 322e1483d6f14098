"""Solving layers anew after pruning."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.artifact.torch_module import load_spec
from pipeline.errors import StageFailed, Unchanged
from pipeline.stages.compensate import Compensate
from pipeline.stages.linear.solvers import solver_of
from pipeline.stages.prune import Prune
from tests.stages.models import (
    SHAPE,
    MemoryDataset,
    TextDataset,
    Workplace,
    resnet,
    resnet_spec,
    sentences,
    spec_of,
)


class Redundant(nn.Module):
    """Every channel is there twice, the second time three times as large: half of them suffice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.second = nn.Conv2d(16, 8, 3, stride=2)
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            self.first.weight[8:] = 3 * self.first.weight[:8]
            assert self.first.bias is not None
            self.first.bias[8:] = 3 * self.first.bias[:8]

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(image)))
        result: Tensor = self.head(torch.relu(self.second(x)).mean((2, 3)))
        return result


@pytest.fixture
def redundant(workplace: Workplace) -> Artifact:
    torch.manual_seed(0)
    workplace.original = workplace.torch(Redundant(), spec_of(Redundant, {"image": SHAPE}, ["logits"]), "whole")
    return workplace.original


PRUNE = Prune(pruning_ratio=0.5, round_to=1, ignored_layers=("second",))


def test_what_other_channels_tell_is_made_up_for(workplace: Workplace, redundant: Artifact) -> None:
    feed = workplace.context().feed("calibration")
    pruned = workplace.build(PRUNE, redundant, "pruned")
    assert load_spec(pruned.path).kept == {"first": list(range(8, 16)), "norm": list(range(8, 16))}
    compensated = workplace.build(Compensate(ridge=1e-8), pruned, "compensated")
    before, after = (check_output(redundant, model, None, feed)["sqnr_db"] for model in (pruned, compensated))
    assert before < 20
    assert after > 60
    layer = workplace.notes["layers"]["second"]
    assert layer["after"] < 1e-6 < layer["before"]


def test_it_helps_where_something_is_lost(workplace: Workplace) -> None:
    spec = resnet_spec((16, 32))
    workplace.original = workplace.torch(resnet(spec), spec, "whole")
    feed = workplace.context().feed("validation")
    pruned = workplace.build(Prune(pruning_ratio=0.5), workplace.original, "pruned")
    compensated = workplace.build(Compensate(), pruned, "compensated")
    before, after = (check_output(workplace.original, model, None, feed)["sqnr_db"] for model in (pruned, compensated))
    assert after > before + 3


def test_the_ridge_that_is_chosen_holds_on_examples_that_were_not_seen(
    workplace: Workplace, torch_encoder: Artifact
) -> None:
    workplace.data, workplace.original = TextDataset(), torch_encoder
    unseen = {name: values[TextDataset.calibration :] for name, values in sentences(240).items()}
    pruned = workplace.build(Prune(importance="reconstruction", round_to=1), torch_encoder, "pruned")

    def kept(stage: Compensate) -> float:
        compensated = workplace.build(stage, pruned, f"compensated-{stage.ridge}")
        return float(check_output(torch_encoder, compensated, None, unseen)["sqnr_db"])

    chosen = kept(Compensate())
    assert chosen > kept(Compensate(ridge=1e-3)) + 3
    assert {layer["ridge"] for layer in workplace.notes["layers"].values()} == {1e-3}
    assert chosen > max(kept(Compensate(ridge=ridge)) for ridge in (1e-2, 1e-1, 1.0)) - 0.5


@pytest.mark.parametrize(("layer", "shape"), [
    (nn.Linear(6, 5), (3, 7, 6)),
    (nn.Linear(6, 5, bias=False), (3, 6)),
    (nn.Conv2d(6, 4, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), (3, 6, 9, 12)),
    (nn.Conv2d(6, 6, 3, padding="same", groups=6, bias=False), (3, 6, 8, 8)),
    (nn.Conv2d(6, 4, 3, groups=2, padding=1, padding_mode="reflect"), (3, 6, 8, 8)),
    (nn.Conv1d(6, 4, 5, stride=2, padding=2), (3, 6, 20)),
    (nn.BatchNorm2d(6), (3, 6, 8, 8)),
    (nn.BatchNorm1d(6), (9, 6)),
])  # fmt: skip
@torch.no_grad()
def test_a_layer_is_the_map_that_it_is_solved_as(layer: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    for values in (*layer.parameters(), *(b for b in layer.buffers() if b.is_floating_point())):
        values.copy_(torch.rand_like(values) + 0.1)
    read = torch.randn(shape)
    made = layer.eval()(read)
    solver = solver_of(layer)
    parts = list(solver.places(read, made))
    for rows, wanted in parts:
        torch.testing.assert_close(rows @ solver.weights().float(), wanted, rtol=1e-4, atol=1e-5)
    assert sum(wanted.numel() for _, wanted in parts) == made.numel()
    solver.take(2 * solver.weights())
    torch.testing.assert_close(layer(read), 2 * made, rtol=1e-4, atol=1e-5)


def test_layers_that_cannot_be_solved_are_named(workplace: Workplace) -> None:
    torch.manual_seed(0)
    workplace.original = workplace.torch(Twice(), spec_of(Twice, {"image": SHAPE}, ["logits"]), "whole")
    pruned = workplace.build(Prune(pruning_ratio=0.5, round_to=1, ignored_layers=("again",)), workplace.original, "p")
    workplace.build(Compensate(), pruned, "compensated")
    assert workplace.notes["left_alone"] == {"again": "it runs more than once", "up": "a ConvTranspose2d is not solved"}


class Twice(nn.Module):
    """A layer that runs twice, and one of a type that is not solved."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        x = self.second(torch.relu(self.first(image)))
        result: Tensor = self.up(self.again(torch.relu(self.again(x)))).mean((2, 3))
        return result


def test_a_model_that_lost_nothing_is_skipped(workplace: Workplace, redundant: Artifact) -> None:
    with pytest.raises(Unchanged, match="every layer makes what the baseline's makes"):
        workplace.build(Compensate(), redundant)


def test_it_needs_calibration_data(workplace: Workplace, redundant: Artifact) -> None:
    workplace.data = MemoryDataset(calibration=0)
    with pytest.raises(StageFailed, match=r"set data\.calibration_size above 0"):
        workplace.build(Compensate(), redundant)
