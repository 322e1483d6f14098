"""The importance that asks what the readers of a channel lose where they make up for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.stages.compensate import Compensate
from pipeline.stages.linear.moments import Moments
from pipeline.stages.linear.solvers import solver_of
from pipeline.stages.prune import Prune
from pipeline.stages.pruning import reconstruction
from pipeline.stages.pruning.cut import probe_inputs
from pipeline.stages.pruning.groups import Prunable, find_groups
from pipeline.stages.pruning.importance import Importance
from pipeline.stages.pruning.reconstruction import scores
from pipeline.stages.pruning.replay import Batches
from tests.stages.models import SHAPE, TextDataset, Workplace, sentences, spec_of


class Twins(nn.Module):
    """Every hidden channel is there twice, half of them ten times as large."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 8, 3, stride=2)
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            assert self.first.bias is not None
            self.first.weight[8:], self.first.bias[8:] = self.first.weight[:8], self.first.bias[:8]
            self.second.weight[:, 8:] = self.second.weight[:, :8]
            for large in (slice(0, 4), slice(8, 12)):
                self.first.weight[large] *= 10
                self.first.bias[large] *= 10
            for small in (slice(4, 8), slice(12, 16)):
                self.second.weight[:, small] *= 3

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.first(image))
        result: Tensor = self.head(torch.relu(self.second(x)).mean((2, 3)))
        return result


def halved(workplace: Workplace, source: Artifact, importance: Importance) -> Artifact:
    """Half of the channels out, and made up for."""
    prune = Prune(pruning_ratio=0.5, round_to=1, importance=importance, ignored_layers=("second",))
    pruned = workplace.build(prune, source, f"pruned-{importance}")
    return workplace.build(Compensate(ridge=1e-8), pruned, f"made-up-{importance}")


def test_of_two_channels_that_say_the_same_one_stays(workplace: Workplace) -> None:
    torch.manual_seed(0)
    workplace.original = source = workplace.torch(Twins(), spec_of(Twins, {"image": SHAPE}, ["logits"]), "whole")
    feed = workplace.context().feed("validation")
    by_size, by_loss = (
        check_output(source, halved(workplace, source, importance), None, feed)["sqnr_db"]
        for importance in ("l2", "reconstruction")
    )
    assert by_size < 45
    assert by_loss > 65


class Hidden(nn.Module):
    """An MLP; its activations may write over what they read, and the last one changes nothing."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.up = nn.Linear(12, 24)
        self.down = nn.Linear(24, 6)
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.up(x), inplace=self.inplace)
        return functional.leaky_relu(self.down(hidden), 1.0, inplace=self.inplace)


def found(module: nn.Module, data: Tensor) -> tuple[Prunable, Tensor]:
    """The only group, and the scores of its units."""
    spec = spec_of(Hidden, {"x": tuple(data.shape[1:])}, ["y"])
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    (prunable,) = find_groups(module, spec, (), probe_inputs(module, spec)).prunable
    (ranked,) = scores([prunable], module, lambda: iter([(data[:100],), (data[100:],)]), None)
    assert ranked is not None
    return prunable, ranked


def test_the_first_one_to_go_is_the_one_that_leaves_the_least_error() -> None:
    torch.manual_seed(1)
    module, data = Hidden().eval(), torch.randn(200, 12)
    _, ranked = found(module, data)
    with torch.no_grad():
        hidden = torch.relu(module.up(data))
        solver = solver_of(module.down)
        errors = []
        for gone in range(24):
            left = hidden.clone()
            left[:, gone] = 0
            ((rows, wanted),) = solver.places(left, module.down(hidden))
            moments = Moments.none(rows.shape[0], rows.shape[2], wanted.shape[2])
            moments.add(rows, wanted)
            errors.append(float(moments.error(moments.solved(solver.weights(), 1e-6)).sum() / moments.outputs.sum()))
    assert int(ranked.argmin()) == min(range(24), key=errors.__getitem__)
    assert float(ranked.min()) == pytest.approx(min(errors) * 6 * 200, rel=0.3), "in units of an output's mean square"
    assert len(set(ranked.tolist())) == 24, "and every other one has a place of its own"


class Unequal(nn.Module):
    """Two MLPs alike, of which one hardly matters for what the module makes."""

    def __init__(self) -> None:
        super().__init__()
        self.loud, self.quiet = Hidden(), Hidden()
        self.quiet.load_state_dict(self.loud.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.loud(x) + 0.05 * self.quiet(x)
        return result


def by_layer(module: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """The scores by the first layer that makes the units."""
    spec = spec_of(Unequal, {"x": (12,)}, ["y"])
    prunables = find_groups(module, spec, (), probe_inputs(module, spec)).prunable
    ranked = scores(prunables, module, batches, None)
    return {each.layers[0]: one for each, one in zip(prunables, ranked, strict=True) if one is not None}


def test_units_go_where_the_outputs_mind_them_least() -> None:
    torch.manual_seed(3)
    data = torch.randn(200, 12)
    ranked = by_layer(Unequal().eval(), lambda: iter([(data,)]))
    torch.testing.assert_close(ranked["quiet.up"], ranked["loud.up"] * 0.05**2, rtol=1e-3, atol=0)


@pytest.mark.parametrize(("memory", "passes"), [(2**29, 1), (1, 2)])
def test_as_many_groups_share_a_pass_as_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch, memory: int, passes: int
) -> None:
    torch.manual_seed(3)
    data = torch.randn(200, 12)
    begun: list[int] = []

    def batches() -> Iterator[list[Tensor]]:
        begun.append(1)
        return iter([[data]])

    monkeypatch.setattr(reconstruction, "_MOMENTS_BYTES", memory)
    module = Unequal().eval()
    ranked = by_layer(module, batches)
    assert len(begun) == passes
    torch.testing.assert_close(ranked["quiet.up"], by_layer(module, batches)["loud.up"] * 0.05**2, rtol=1e-3, atol=0)


def test_a_layer_whose_inputs_are_written_over_is_seen_before() -> None:
    torch.manual_seed(4)
    plain, inplace = Hidden().eval(), Hidden(inplace=True).eval()
    inplace.load_state_dict(plain.state_dict())
    data = torch.randn(200, 12)
    torch.testing.assert_close(found(inplace, data)[1], found(plain, data)[1])


def test_a_channel_that_nobody_needs_goes_first_however_large_it_is() -> None:
    torch.manual_seed(2)
    module = Hidden().eval()
    with torch.no_grad():
        module.up.weight[5] *= 100
        module.down.weight[:, 5] = 0
        module.up.weight[7] = 0  # what it makes is the same for every example, and the bias takes it over
        module.up.bias[7] = 5.0
    _, ranked = found(module, torch.randn(200, 12))
    assert set(ranked.argsort()[:2].tolist()) == {5, 7}


def test_heads_and_hidden_units_of_an_encoder(workplace: Workplace, torch_encoder: Artifact) -> None:
    workplace.data, workplace.original = TextDataset(), torch_encoder
    unseen = {name: values[TextDataset.calibration :] for name, values in sentences(240).items()}

    def error(importance: Importance) -> float:
        pruned = workplace.build(Prune(importance=importance, round_to=1), torch_encoder, f"pruned-{importance}")
        assert list(workplace.notes["heads"].values()) == [[4, 2], [4, 2]]
        made_up = workplace.build(Compensate(), pruned, f"made-up-{importance}")
        return -float(check_output(torch_encoder, made_up, None, unseen)["sqnr_db"])

    assert error("reconstruction") < error("random")
