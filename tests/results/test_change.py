"""A change: what is typed for it gives the plan that it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from pipeline.command_line.arguments import for_hydra
from pipeline.config import build, register
from pipeline.plan import Plan
from pipeline.report.formats.json import plain
from pipeline.results.change import (
    BatchSizes,
    Change,
    SessionSetting,
    StageDropped,
    StageField,
    StageSwapped,
    Targets,
    Threads,
    VariantDevices,
    can_be_typed,
)
from pipeline.stages.quantize_static import QuantizeStatic

STATIC = "pipeline.stages.quantize_static.QuantizeStatic"
VARIANTS = "variant=[baseline,fused_dynamic_int8,pruned,fixed_shapes]"
OWN = (
    "variants.fused_dynamic_int8.stages.quantize.op_types=[MatMul]",
    "variants.fused_dynamic_int8.stages.quantize.exclude_nodes=[head]",
    "variants.pruned.stages.prune.iterative_steps=2",
    "steps=[fused_dynamic_int8]",
)
CHAIN = "fused_dynamic_int8"
"""A chain with fields that are set, whose beginnings are measured."""


def planned(*overrides: str) -> Plan:
    """The plan of a command line."""
    register()
    with initialize_config_module("pipeline.conf", version_base="1.3"):
        return build(compose("config", for_hydra(overrides, [], [])), Path("outputs/test"), "test")


@pytest.fixture(scope="module")
def before() -> Plan:
    return planned(VARIANTS, *OWN)


def field(variant: str, stage: str, name: str, value: Any) -> Change:
    return StageField(variant=variant, stage=stage, field=name, value=value)


def swapped(variant: str = CHAIN, stage: str = "quantize", kind: str = STATIC) -> Change:
    return StageSwapped(variant=variant, stage=stage, by="quantize_static", kind=kind)


FIELDS = {
    field(CHAIN, "quantize", "op_types", ("Conv", "Gemm")): f"variants.{CHAIN}.stages.quantize.op_types=[Conv,Gemm]",
    field(CHAIN, "quantize", "exclude_nodes", ()): f"variants.{CHAIN}.stages.quantize.exclude_nodes=[]",
    field(CHAIN, "quantize", "min_sqnr_db", None): f"variants.{CHAIN}.stages.quantize.min_sqnr_db=null",
    field(CHAIN, "quantize", "per_channel", False): f"variants.{CHAIN}.stages.quantize.per_channel=false",
    field("pruned", "prune", "pruning_ratio", 0.25): "variants.pruned.stages.prune.pruning_ratio=0.25",
    field("pruned", "prune", "scope", "global"): "variants.pruned.stages.prune.scope=global",
    field("fixed_shapes", "fix", "batch_size", 4): "variants.fixed_shapes.stages.fix.batch_size=4",
    VariantDevices(variant="pruned", devices=("cpu",)): "variants.pruned.devices=[cpu]",
    Threads(target="ort_cpu", threads=2): "target.ort_cpu.threads=2",
    SessionSetting(target="ort_cuda", setting="cuda_graph", value=True): "target.ort_cuda.session.cuda_graph=true",
    BatchSizes(sizes=(1, 8)): "batch_sizes=[1,8]",
}
OTHERS = {
    swapped(): f"stage@variants.{CHAIN}.stages.quantize=quantize_static",
    StageDropped(variant=CHAIN, stage="fuse"): f"~variants.{CHAIN}.stages.fuse",
    Targets(names=("ort_cuda",)): "target=[ort_cuda]",
}


@pytest.mark.parametrize("changes", [FIELDS, OTHERS])
def test_what_is_typed_gives_the_plan_that_the_changes_make(before: Plan, changes: Mapping[Change, str]) -> None:
    made = before
    for change in changes:
        previous, made = made, change.apply(made)
        assert made != previous, f"{change} does nothing"
    after = planned(VARIANTS, *OWN, *map(str, changes))
    whole = [name for name in made.variants if "." not in name]
    assert whole == [name for name in after.variants if "." not in name]
    for name in whole:
        assert made.variants[name] == after.variants[name]
        assert list(made.variants[name].stages) == list(after.variants[name].stages)
    assert (made.targets, made.batch_sizes) == (after.targets, after.batch_sizes)


@pytest.mark.parametrize(("change", "typed"), [*FIELDS.items(), *OTHERS.items()])
def test_a_change_reads_as_it_is_typed(change: Change, typed: str) -> None:
    assert str(change) == typed


def test_a_stage_in_anothers_place_keeps_what_was_set(before: Plan) -> None:
    after = swapped().apply(before).variants[CHAIN].stages["quantize"]
    assert after == QuantizeStatic(op_types=("MatMul",), exclude_nodes=("head",))


def test_a_change_of_a_chains_beginning_is_one_of_the_whole_chain(before: Plan) -> None:
    beginning = f"{CHAIN}.fuse"
    change = StageDropped(variant=beginning, stage="fuse")
    assert str(change) == f"~variants.{CHAIN}.stages.fuse"
    after = change.apply(before)
    assert list(after.variants[CHAIN].stages) == ["export", "quantize"]
    assert after.variants[beginning] == before.variants[beginning]


@pytest.mark.parametrize(
    "change",
    [
        field("other", "a", "by", 3),
        field("pruned", "quantize", "op_types", None),
        field("pruned", "prune", "nothing", 3),
        field(CHAIN, "quantize", "weight_type", "int3"),
        swapped("other"),
        swapped("pruned", "prune"),
        StageDropped(variant="pruned", stage="quantize"),
        VariantDevices(variant="other", devices=("cpu",)),
        Threads(target="ort_gpu", threads=1),
        SessionSetting(target="ort_gpu", setting="cuda_graph", value=True),
        Targets(names=("openvino_cpu",)),
    ],
    ids=str,
)
def test_what_does_not_fit_the_plan_is_refused(before: Plan, change: Change) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        change.apply(before)


@pytest.mark.parametrize("name", ["a", "a_1", "a-b", "A1", "1", "1a", "-a", "a+b", "é"])
@pytest.mark.parametrize(
    "change",
    [
        lambda name: field(name, "prune", "round_to", 8),
        lambda name: swapped(name),
        lambda name: StageDropped(variant=name, stage="prune"),
        lambda name: SessionSetting(target=name, setting="cuda_graph", value=True),
    ],
)
def test_what_hydras_grammar_has_no_room_for_is_known(change: Callable[[str], Change], name: str) -> None:
    try:
        OverridesParser.create().parse_override(str(change(name)))
    except HydraException:
        assert not can_be_typed(change(name))
    else:
        assert can_be_typed(change(name))


def test_in_json_a_change_is_what_is_typed_for_it() -> None:
    assert plain({"change": BatchSizes(sizes=(1, 8))}) == {"change": "batch_sizes=[1,8]"}
