"""What the default run's pruned variants learn from, and what that costs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from pipeline.config import build, register
from pipeline.data.files import SplitFolder
from pipeline.plan import Plan
from pipeline.stages.finetune import Finetune

PRUNED = ("pruned", "pruned_int8", "pruned_qat_int8")


@cache
def plan(*overrides: str) -> Plan:
    register()
    with initialize_config_module("pipeline.conf", version_base="1.3"):
        chosen = compose("config", [f"variant=[baseline,{','.join(PRUNED)}]", "target=[ort_cpu]", *overrides])
        return build(chosen, Path("outputs/test"), "test")


def training(name: str, *overrides: str) -> Finetune:
    stage = plan(*overrides).variants[name].stages["finetune"]
    assert isinstance(stage, Finetune)
    return stage


@pytest.mark.parametrize("name", PRUNED)
def test_the_baseline_is_asked_only_once_about_each_example(name: str) -> None:
    data = plan().data
    assert isinstance(data, SplitFolder)
    assert data.augmentation, "with the changes that the data set offers the baseline would be asked at each step"
    assert training(name).augmentation == ()
    assert training(name).epochs > 1, "one epoch asks it at each step, too"


@pytest.mark.parametrize("name", PRUNED)
def test_a_pruned_model_learns_from_the_baseline_without_labels(name: str) -> None:
    assert training(name).distill_weight == 1
    assert not training(name).needs_labels


@pytest.mark.parametrize("name", PRUNED[1:])
def test_the_pruned_variants_share_their_training(name: str) -> None:
    shared = ("prune", "compensate", "finetune")
    stages, first = plan().variants[name].stages, plan().variants["pruned"].stages
    assert [stages[stage] for stage in shared] == [first[stage] for stage in shared]


def test_changes_of_the_images_can_be_asked_for() -> None:
    asked = "variants.pruned.stages.finetune.augmentation=[flip,crop]"
    assert training("pruned", asked).augmentation == ("flip", "crop")
    assert training("pruned_int8", asked).augmentation == ()
