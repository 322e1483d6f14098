"""Pruning on the architectures that people have, none of them changed for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.artifact import Artifact
from pipeline.artifact.plain_weights import load_plain
from pipeline.artifact.torch_layers import layers_of
from pipeline.artifact.torch_module import (
    ModelInput,
    ModelSpec,
    as_tensors,
    load_module,
    load_spec,
    make_module,
)
from pipeline.stages.prune import Prune
from pipeline.stages.pruning.cut import Change, Place, disagreement, probe_inputs
from tests.stages.models import Workplace
from tests.stages.pruning.pruned_models import SPECS, varied

WHOLE = {
    # What is left whole beside the layers that make the outputs, by a part of the reason.
    "shuffled": {"second": "can't be followed"},
    "vit": {"patch_embed.proj": "hidden width", "blocks.0.attn.proj": "hidden width", "blocks.1.mlp.fc2": "normalizes"},
    "encoder": {
        "embeddings.word_embeddings": "an embedding",
        "encoder.layer.0.attention.output.dense": "hidden width",
        "encoder.layer.1.output.dense": "hidden width",
    },
    "tied": {"embed": "an embedding", "layer.self_attn": "one width", "layer.self_attn.out_proj": "self_attn"},
    "yolo": {"cut": "can't be told apart", "inner": "can't be told apart"},
    "upscaled": {"up": "can't be told apart", "grouped": "can't be told apart", "head": "makes an output"},
    "lstm": {"feeds": "tied to the recurrent layer 'recurrent'", "recurrent": "a recurrent layer"},
    "gru": {"feeds": "tied to the recurrent layer 'recurrent'", "recurrent": "a recurrent layer"},
    "unnamed": {"first": "can't be followed", "third": "can't be followed"},
    **{
        name: {"embed": "an embedding", "attention.to_out.0": "hidden width"}
        for name in SPECS
        if name.startswith("fused")
    },
}
HEADS = {
    "vit": ["blocks.0.attn", "blocks.1.attn"],
    "encoder": ["encoder.layer.0.attention.self", "encoder.layer.1.attention.self"],
    **{name: ["attention"] for name in SPECS if name.startswith("fused")},
}


@dataclass(frozen=True)
class Case:
    source: Artifact
    pruned: Artifact
    notes: Mapping[str, Any]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    found = {}
    for name, make_spec in SPECS.items():
        workplace = Workplace(tmp_path_factory.mktemp(name))
        spec = make_spec()
        source = workplace.torch(varied(spec), spec, "source")
        pruned = workplace.build(Prune(round_to=4), source, "pruned")
        found[name] = Case(source, pruned, dict(workplace.notes))
    return found


def outputs(artifact: Artifact) -> list[torch.Tensor]:
    module = load_module(artifact.path)
    with torch.inference_mode():
        return as_tensors(module(*probe_inputs(module, load_spec(artifact.path))))


@pytest.mark.parametrize("name", SPECS)
def test_every_layer_is_pruned_or_left_alone_with_a_reason(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    before, after = (
        {layer: len(attrgetter("weight")(made)) for layer, made in layers_of(load_module(artifact.path)).items()}
        for artifact in (case.source, case.pruned)
    )
    changed = {layer for layer in before if before[layer] != after[layer]}
    assert changed
    assert set(case.notes["channels"]) == changed
    assert set(before) - changed <= set(case.notes["left_alone"])
    assert not changed & set(case.notes["left_alone"])
    assert case.notes["parameters"]["after"] < case.notes["parameters"]["before"]


@pytest.mark.parametrize("name", SPECS)
def test_only_what_has_a_reason_stays_whole(cases: dict[str, Case], name: str) -> None:
    alone = cases[name].notes["left_alone"]
    for layer, reason in WHOLE.get(name, {}).items():
        assert reason in alone[layer]
    if name not in WHOLE:
        assert list(alone.values()) == ["makes an output"], name


@pytest.mark.parametrize("name", SPECS)
def test_half_of_the_heads_go(cases: dict[str, Case], name: str) -> None:
    assert cases[name].notes.get("heads", {}) == {attention: [4, 2] for attention in HEADS.get(name, [])}


@pytest.mark.parametrize("name", SPECS)
def test_the_outputs_keep_their_shapes_and_are_finite(cases: dict[str, Case], name: str) -> None:
    for before, after in zip(outputs(cases[name].source), outputs(cases[name].pruned), strict=True):
        assert before.shape == after.shape
        assert bool(after.isfinite().all())


def test_weights_that_are_computed_at_each_call_are_made_plain_and_named(cases: dict[str, Case]) -> None:
    case = cases["reparametrized"]
    layers = ["old_weight", "old_spectral", "weight", "spectral", "masked"]
    assert case.notes["made_plain"] == layers
    assert {f"{layer}.weight" for layer in layers} <= set(load_module(case.pruned.path).state_dict())


def test_weights_made_plain_compute_the_same(cases: dict[str, Case]) -> None:
    source = cases["reparametrized"].source
    plain, spec, _ = load_plain(source.path)
    with torch.inference_mode():
        torch.testing.assert_close(plain(*probe_inputs(plain, spec)), outputs(source)[0])


def test_a_model_that_an_earlier_version_made_plain_is_read(cases: dict[str, Case], tmp_path: Path) -> None:
    """It names the function where that lay then."""
    folder = shutil.copytree(cases["reparametrized"].pruned.path, tmp_path / "model")
    spec = (folder / "model.json").read_text()
    assert "pipeline.artifact.plain_weights" in spec
    earlier = spec.replace("pipeline.artifact.plain_weights", "pipeline.stages.reparametrized")
    (folder / "model.json").write_text(earlier)
    again = load_module(folder)(*probe_inputs(load_module(folder), load_spec(folder)))
    torch.testing.assert_close(as_tensors(again)[0], outputs(cases["reparametrized"].pruned)[0])


def test_pruned_models_are_the_same_in_a_fresh_process(cases: dict[str, Case], workplace: Workplace) -> None:
    program = (
        "import sys, numpy, torch; from pathlib import Path\n"
        "from pipeline.artifact.torch_module import as_tensors, load_module, load_spec\n"
        "from pipeline.stages.pruning.cut import probe_inputs\n"
        "assert 'torch_pruning' not in sys.modules\n"
        "for index, folder in enumerate(sys.argv[2:]):\n"
        "    module = load_module(Path(folder))\n"
        "    with torch.inference_mode():\n"
        "        output = as_tensors(module(*probe_inputs(module, load_spec(Path(folder)))))[0]\n"
        "    numpy.save(Path(sys.argv[1]) / f'{index}.npy', output.numpy())\n"
        "assert 'torch_pruning' not in sys.modules\n"
    )
    folders = [str(case.pruned.path) for case in cases.values()]
    subprocess.run([sys.executable, "-c", program, str(workplace.folder), *folders], check=True)
    for index, case in enumerate(cases.values()):
        again = np.load(workplace.folder / f"{index}.npy")
        np.testing.assert_allclose(again, outputs(case.pruned)[0].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*HEADS, "mobile", "dense", "plain", "grouped"])
def test_a_pruned_model_can_be_pruned_again(cases: dict[str, Case], workplace: Workplace, name: str) -> None:
    twice = workplace.build(Prune(round_to=2), cases[name].pruned)
    assert workplace.notes["parameters"]["after"] < workplace.notes["parameters"]["before"]
    assert workplace.notes.get("heads", {}) == {attention: [2, 1] for attention in HEADS.get(name, [])}
    assert [value.shape for value in outputs(twice)] == [value.shape for value in outputs(cases[name].pruned)]


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_do_nothing_go_first(workplace: Workplace, name: str) -> None:
    spec = SPECS[name]()
    module = varied(spec)
    idle = [0, 3]
    with torch.no_grad():
        for attention in HEADS[name]:
            _silence_heads(module, attention, idle)
    source = workplace.torch(module, spec, "source")
    inner = [layer for layer in layers_of(module) if layer.endswith(("fc1", "intermediate.dense"))]
    pruned = workplace.build(Prune(ignored_layers=tuple(inner)), source)
    for before, after in zip(outputs(source), outputs(pruned), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


def _silence_heads(module: nn.Module, attention: str, idle: list[int]) -> None:
    """Make the heads weak, and what reads them 0."""
    own = module.get_submodule(attention)
    layers = layers_of(own)
    readers = [layer for name, layer in layers.items() if name in ("proj", "to_out.0")]
    readers = readers or [module.get_submodule(attention.replace(".self", ".output.dense"))]
    makers = [layer for layer in layers.values() if layer not in readers]
    width = readers[0].get_parameter("weight").shape[1]
    size = width // 4
    for head in idle:
        channels = slice(head * size, (head + 1) * size)
        readers[0].get_parameter("weight")[:, channels] = 0
        for maker in makers:
            weight = maker.get_parameter("weight")
            if getattr(own, "split", None) == "interleaved":
                weight[3 * head * size : 3 * (head + 1) * size] *= 0.01
            else:
                for start in range(0, weight.shape[0], width):
                    weight[start : start + width][channels] *= 0.01


def test_a_cut_in_the_wrong_place_is_noticed() -> None:
    spec = SPECS["plain"]()
    module = varied(spec)
    inputs = probe_inputs(module, spec)
    made, read = Place("inner", "out"), Place("head", "in")
    assert disagreement(module, Change({made: {3}, read: {3}}), inputs) is None
    assert "can't be followed" in str(disagreement(module, Change({made: {3}, read: {4}}), inputs))
    assert "does not run" in str(disagreement(module, Change({made: {3}}), inputs))
    assert "other shapes" in str(disagreement(module, Change({Place("head", "out"): {0}}), inputs))


def test_efficientnet_lite_is_pruned_unchanged(workplace: Workplace) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    spec = ModelSpec(
        factory={"_target_": "pipeline.zoo.efficientnet_lite0.efficientnet_lite0"},
        inputs=(ModelInput(name="image", shape=(3, 64, 64)),),
        outputs=("logits",),
    )
    torch.manual_seed(0)
    source = workplace.torch(make_module(spec), spec, "source")
    pruned = workplace.build(Prune(round_to=8), source)
    notes = workplace.notes
    assert list(notes["left_alone"].values()) == ["makes an output"]
    assert notes["macs"]["after"] < 0.4 * notes["macs"]["before"]
    assert [value.shape for value in outputs(pruned)] == [value.shape for value in outputs(source)]
