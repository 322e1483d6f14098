"""Structured pruning."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pipeline.artifact import Artifact
from pipeline.artifact.proof import check_output
from pipeline.artifact.run import run
from pipeline.artifact.torch_module import load_module
from pipeline.errors import Skipped, StageFailed
from pipeline.stages.prune import Prune
from pipeline.stages.pruning.importance import Importance
from pipeline.stages.pruning.rank import Scope
from tests.stages.models import MemoryDataset, TwoOutputs, Workplace, resnet, resnet_spec, spec_of
from tests.stages.refusal import refusal

Feed = dict[str, NDArray[Any]]


@pytest.fixture
def wide(workplace: Workplace) -> Artifact:
    spec = resnet_spec((16, 32))
    return workplace.torch(resnet(spec), spec, "wide")


def channels(artifact: Artifact) -> dict[str, int]:
    layers = load_module(artifact.path).named_modules()
    return {name: layer.out_channels for name, layer in layers if isinstance(layer, nn.Conv2d)}


@pytest.mark.parametrize("importance", get_args(Importance))
def test_every_importance_takes_out_the_share_asked_for(
    workplace: Workplace, wide: Artifact, importance: Importance, feed: Feed
) -> None:
    pruned = workplace.build(Prune(importance=importance), wide)
    assert channels(pruned) == {name: count // 2 for name, count in channels(wide).items()}
    drift = check_output(wide, pruned, None, feed)
    assert drift["max_abs"] > 0


@pytest.mark.parametrize("importance", ["l1", "l2", "bn_scale", "lamp", "taylor", "reconstruction"])
def test_channels_that_do_nothing_go_first(workplace: Workplace, importance: Importance, feed: Feed) -> None:
    spec = resnet_spec((16, 32))
    module = resnet(spec)
    idle = torch.randperm(16)[:8]
    with torch.no_grad():
        for name in ("conv1.weight", "bn1.weight", "bn1.bias"):
            module.get_parameter(f"blocks.0.{name}")[idle] = 0
        module.get_parameter("blocks.0.conv2.weight")[:, idle] = 0
    source = workplace.torch(module, spec)
    others = tuple(name for name in channels(source) if name != "blocks.0.conv1")
    pruned = workplace.build(Prune(importance=importance, ignored_layers=others), source)
    assert channels(pruned)["blocks.0.conv1"] == 8
    check_output(source, pruned, 1e-5, feed)


def test_parameters_macs_and_channels_are_noted(workplace: Workplace, wide: Artifact) -> None:
    workplace.build(Prune(), wide)
    notes = workplace.notes
    assert notes["parameters"]["after"] < 0.3 * notes["parameters"]["before"]
    assert notes["macs"]["after"] < 0.3 * notes["macs"]["before"]
    assert notes["channels"]["blocks.1.conv2"] == [32, 16]
    assert notes["left_alone"] == {"head": "makes an output"}


def test_a_pruned_model_is_the_same_in_a_fresh_process(workplace: Workplace, wide: Artifact, feed: Feed) -> None:
    pruned = workplace.build(Prune(iterative_steps=2, scope="global"), wide)
    np.save(workplace.folder / "image.npy", feed["image"])
    program = (
        "import sys, numpy, torch; from pathlib import Path; from pipeline.artifact.torch_module import load_module\n"
        "folder, work = map(Path, sys.argv[1:])\n"
        "with torch.inference_mode():\n"
        "    output = load_module(folder)(torch.from_numpy(numpy.load(work / 'image.npy')))\n"
        "numpy.save(work / 'output.npy', output.numpy())\n"
    )
    subprocess.run([sys.executable, "-c", program, str(pruned.path), str(workplace.folder)], check=True)
    (here,) = run(pruned, feed)
    np.testing.assert_allclose(np.load(workplace.folder / "output.npy"), here, atol=1e-6)


def test_a_pruned_model_can_be_pruned_again(workplace: Workplace, wide: Artifact, feed: Feed) -> None:
    once = workplace.build(Prune(round_to=4), wide, "once")
    twice = workplace.build(Prune(round_to=4), once, "twice")
    assert channels(twice) == {name: count // 4 for name, count in channels(wide).items()}
    check_output(once, twice, None, feed)


def test_channels_are_kept_in_multiples(workplace: Workplace, wide: Artifact) -> None:
    pruned = workplace.build(Prune(pruning_ratio=0.3, round_to=8), wide)
    assert set(channels(pruned).values()) == {8, 16}
    free = workplace.build(Prune(pruning_ratio=0.3, round_to=1), wide, "free")
    assert set(channels(free).values()) == {11, 22}


def test_global_pruning_takes_from_where_it_costs_least(workplace: Workplace, wide: Artifact) -> None:
    pruned = workplace.build(Prune(scope="global", round_to=1), wide)
    shares = {round(after / channels(wide)[name], 2) for name, after in channels(pruned).items()}
    assert len(shares) > 1


def test_ignored_layers_stay_whole_and_say_why(workplace: Workplace, wide: Artifact) -> None:
    pruned = workplace.build(Prune(ignored_layers=("blocks.0*",)), wide)
    for name in ("blocks.0.conv1", "blocks.0.conv2"):
        assert channels(pruned)[name] == 16
        assert workplace.notes["left_alone"][name] == "named in ignored_layers"
    tied = "tied to a layer that is left alone: 'blocks.0.conv2', which is named in ignored_layers"
    assert workplace.notes["left_alone"]["stem.0"] == tied
    assert channels(pruned)["blocks.1.conv1"] == 16


def test_every_layer_that_makes_an_output_stays_whole(workplace: Workplace) -> None:
    source = workplace.torch(TwoOutputs(), spec_of(TwoOutputs, {"image": (1, 8, 8)}, ["features", "logits"]))
    pruned = workplace.build(Prune(), source)
    assert channels(pruned) == {"first": 8, "features": 16, "head": 4}
    assert workplace.notes["left_alone"] == {"features": "makes an output", "head": "makes an output"}
    check_output(source, pruned, None, {"image": np.ones((2, 1, 8, 8), np.float32)})


@pytest.mark.parametrize("scope", ["global", "isomorphic"])
def test_layers_ranked_together_give_up_different_shares_but_the_same_sum(
    workplace: Workplace, wide: Artifact, scope: Scope
) -> None:
    whole = channels(wide)
    pruned = channels(workplace.build(Prune(scope=scope, round_to=1, pruning_ratio=0.25), wide))
    groups = ["stem.0", "blocks.0.conv1", "blocks.1.conv1", "blocks.1.conv2"]
    assert sum(pruned[name] for name in groups) == 0.75 * sum(whole[name] for name in groups)
    assert len({pruned[name] / whole[name] for name in groups}) > 1


def test_a_layer_ranked_with_others_keeps_at_least_the_multiple(workplace: Workplace) -> None:
    spec = resnet_spec((16, 32))
    module = resnet(spec)
    with torch.no_grad():
        module.get_parameter("blocks.0.conv1.weight").mul_(1e-3)
        module.get_parameter("blocks.0.bn1.weight").mul_(1e-3)
        module.get_parameter("blocks.0.conv2.weight").mul_(1e-3)
    source = workplace.torch(module, spec)
    pruned = workplace.build(Prune(scope="global", importance="taylor", round_to=4), source)
    assert channels(pruned)["blocks.0.conv1"] == 4


def test_layers_may_have_a_ratio_of_their_own(workplace: Workplace, wide: Artifact) -> None:
    ratios = {"blocks.0.conv1": 0.25, "blocks.1*": 0.0}
    pruned = channels(workplace.build(Prune(layer_ratios=ratios, round_to=1, iterative_steps=2), wide))
    assert pruned == {
        "stem.0": 8,
        "blocks.0.conv1": 12,
        "blocks.0.conv2": 8,
        "blocks.1.conv1": 32,
        "blocks.1.conv2": 32,
        "blocks.1.shortcut.0": 32,
    }
    assert workplace.notes["left_alone"]["blocks.1.conv1"] == "its ratio in layer_ratios is 0"


def test_a_ratio_for_no_layer_is_refused(workplace: Workplace, wide: Artifact) -> None:
    with pytest.raises(StageFailed, match=r"layer_ratios: 'body\*' matches no layer; there are stem, stem.0"):
        workplace.build(Prune(layer_ratios={"body*": 0.5}), wide)


@pytest.mark.parametrize(("isa", "multiple"), [("avx512f", 16), ("avx2", 8), ("asimd", 4), ("none", 8)])
def test_the_multiple_is_what_a_vector_holds(workplace: Workplace, wide: Artifact, isa: str, multiple: int) -> None:
    workplace.isa = frozenset({isa})
    pruned = workplace.build(Prune(pruning_ratio=0.3), wide)
    assert channels(pruned)["blocks.1.conv1"] == 22 // multiple * multiple
    assert workplace.notes["round_to"] == multiple
    assert Prune().machine_key(workplace.isa) == {"round_to": multiple}
    assert Prune(round_to=2).machine_key(workplace.isa) == {"round_to": 2}


@pytest.mark.parametrize(("importance", "labels"), [("taylor", True), ("taylor", False), ("reconstruction", False)])
def test_calibration_examples_judge_the_first_of_them(
    workplace: Workplace, wide: Artifact, importance: Importance, labels: bool
) -> None:
    workplace.data = MemoryDataset(labels=labels)
    few, all_of_them = (
        workplace.build(Prune(importance=importance, importance_examples=count), wide, str(count)).digest
        for count in (4, 1000)
    )
    assert few != all_of_them
    assert Prune(importance=importance).reads == {"calibration"}
    assert Prune().reads == frozenset()


@pytest.mark.parametrize("importance", ["taylor", "reconstruction"])
def test_what_looks_at_examples_is_refused_without_any(
    workplace: Workplace, wide: Artifact, empty: MemoryDataset, importance: Importance
) -> None:
    workplace.data = empty
    with pytest.raises(StageFailed, match=rf"importance={importance} needs .*set data\.calibration_size above 0"):
        workplace.build(Prune(importance=importance), wide)


def test_what_an_importance_can_not_judge_is_left_alone(workplace: Workplace, torch_encoder: Artifact) -> None:
    with pytest.raises(Skipped, match=r"intermediate\.dense: nothing in its group has what importance=bn_scale is"):
        workplace.build(Prune(importance="bn_scale"), torch_encoder)


def test_heads_are_not_pruned_twice_as_much_in_two_steps(workplace: Workplace, torch_encoder: Artifact) -> None:
    for steps in (1, 2, 4):
        workplace.build(Prune(iterative_steps=steps), torch_encoder, str(steps))
        assert list(workplace.notes["heads"].values()) == [[4, 2], [4, 2]]


def test_random_importance_follows_the_seed(workplace: Workplace, wide: Artifact) -> None:
    digests = {workplace.build(Prune(importance="random"), wide, name).digest for name in ("a", "b")}
    assert len(digests) == 1


def test_a_pattern_that_matches_no_layer_is_refused_with_what_exists(workplace: Workplace, wide: Artifact) -> None:
    with pytest.raises(
        StageFailed, match=r"ignored_layers: 'stm\*' matches no layer; did you mean 'stem'\? there are stem, stem.0"
    ):
        workplace.build(Prune(ignored_layers=("stm*",)), wide)


def test_a_model_of_which_nothing_can_be_pruned_is_refused_with_the_reasons(
    workplace: Workplace, torch_model: Artifact
) -> None:
    with pytest.raises(
        Skipped, match=r"no channel could be pruned \(stem.0: too few channels .*round_to=16.*head: makes an output"
    ):
        workplace.build(Prune(round_to=16), torch_model)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 50])
def test_a_ratio_out_of_range_is_refused(ratio: float) -> None:
    assert "stage.pruning_ratio must be " in refusal(Prune, pruning_ratio=ratio)


def test_other_fields_out_of_range_are_refused() -> None:
    assert "'taylor', 'reconstruction' or 'random' (got 'size')" in refusal(Prune, importance="size")
    assert "stage.round_to must be at least 1 (got 0)" in refusal(Prune, round_to=0)
    assert "stage.scope must be 'local', 'global', 'isomorphic' or 'macs' (got 'all')" in refusal(Prune, scope="all")
    assert "stage.layer_ratios.a must be below 1 (got 1)" in refusal(Prune, layer_ratios={"a": 1})
    assert "stage.importance_examples must be at least 1 (got 0)" in refusal(Prune, importance_examples=0)
    assert "stage.iterative_steps must be at least 1 (got 0)" in refusal(Prune, iterative_steps=0)


def test_where_no_layer_is_wide_enough_for_the_processors_multiple_half_of_it_is_kept(workplace: Workplace) -> None:
    spec = resnet_spec((4, 8))
    source = workplace.torch(resnet(spec), spec)
    workplace.build(Prune(), source)
    assert workplace.notes["round_to"] == 4  # the vectors of AVX2 hold 8
    with pytest.raises(Skipped, match="too few channels"):
        workplace.build(Prune(round_to=8), source, "asked")
