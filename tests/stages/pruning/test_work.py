"""What units cost, and pruning by it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import nn

from pipeline.artifact import Artifact
from pipeline.artifact.count import torch_macs
from pipeline.artifact.torch_module import load_module
from pipeline.stages.prune import Prune
from pipeline.stages.pruning.cut import probe_inputs
from pipeline.stages.pruning.groups import Prunable, find_groups
from pipeline.stages.pruning.pruner import Pruner
from pipeline.stages.pruning.rank import Scope
from pipeline.stages.pruning.work import layer_macs, macs_of_unit
from tests.stages.models import TextDataset, Workplace, encoder, encoder_spec, resnet, resnet_spec


@pytest.mark.parametrize("layer", [
    nn.Conv2d(8, 16, 3, stride=2, padding=1),
    nn.Conv2d(8, 16, 3, groups=4),
    nn.ConvTranspose2d(8, 6, 3, stride=2),
    nn.Conv2d(8, 8, 3, groups=8),
    nn.Linear(8, 3),
])  # fmt: skip
def test_the_macs_of_a_layer_are_those_that_torch_counts(layer: nn.Module) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    probe = torch.randn(2, 8, 8, 8)
    with FlopCounterMode(display=False) as counter:
        layer(probe)
    assert layer_macs(nn.Sequential(layer), (probe,)) == {"0": counter.get_total_flops() // 2}


def test_a_unit_costs_what_goes_with_it() -> None:
    spec = resnet_spec((16, 32))
    module = resnet(spec)
    probe = probe_inputs(module, spec)
    macs = layer_macs(module, probe)
    before = torch_macs(module, spec)
    inner = next(one for one in find_groups(module, spec, (), probe).prunable if one.layers == ("blocks.0.conv1",))
    cost = macs_of_unit(inner, module, macs) / len(probe[0])
    assert before is not None
    without = [macs[name] / len(probe[0]) / 16 for name in ("blocks.0.conv1", "blocks.0.conv2")]
    assert cost == pytest.approx(sum(without))
    assert sum(macs.values()) / len(probe[0]) == before


def test_the_ratio_is_a_share_of_the_macs(workplace: Workplace) -> None:
    spec = resnet_spec((16, 32))
    source = workplace.torch(resnet(spec), spec, "wide")
    wholes = ("stem.0", "blocks.0.conv2", "blocks.1.conv2")  # what is left are two groups that share no layer
    workplace.build(
        Prune(scope="macs", importance="taylor", pruning_ratio=0.5, round_to=1, ignored_layers=wholes), source
    )
    module = load_module(source.path)
    macs = layer_macs(module, probe_inputs(module, spec))
    left = {name: after / before for name, (before, after) in workplace.notes["channels"].items()}
    blocks = {block: macs[f"{block}.conv1"] + macs[f"{block}.conv2"] for block in ("blocks.0", "blocks.1")}
    kept = sum(left.get(f"{block}.conv1", 1.0) * cost for block, cost in blocks.items())
    assert kept / sum(blocks.values()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("quiet", "heads_go"), [("output.dense", False), ("attention.output.dense", True)])
def test_heads_and_channels_compete(workplace: Workplace, quiet: str, heads_go: bool) -> None:
    """What hardly matters goes."""
    spec = encoder_spec()
    module = encoder(spec)
    with torch.no_grad():
        for layer in range(2):
            module.get_parameter(f"encoder.layer.{layer}.{quiet}.weight").mul_(1e-3)
    source = workplace.torch(module, spec, "whole")
    workplace.data, workplace.original = TextDataset(), source

    def gone(scope: Scope) -> tuple[bool, bool]:
        stage = Prune(scope=scope, importance="reconstruction", pruning_ratio=0.25, round_to=1)
        workplace.build(stage, source, scope)
        return "heads" in workplace.notes, any("intermediate" in name for name in workplace.notes["channels"])

    assert gone("macs") == (heads_go, not heads_go)
    assert gone("global") == (True, True)


def test_a_group_whose_work_can_not_be_told_is_left_alone(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = resnet_spec((16, 32))
    source: Artifact = workplace.torch(resnet(spec), spec, "wide")
    plain = Pruner._at_first

    def fails(pruner: Pruner, prunable: Prunable, macs: Mapping[str, int] | None) -> tuple[int, float]:
        if prunable.layers == ("blocks.0.conv1",):
            raise RuntimeError("no way")
        return plain(pruner, prunable, macs)

    monkeypatch.setattr(Pruner, "_at_first", fails)
    workplace.build(Prune(scope="macs", importance="taylor"), source)
    assert workplace.notes["left_alone"]["blocks.0.conv1"] == "its channels can't be followed (RuntimeError: no way)"
