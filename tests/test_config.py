"""Every configuration that ships composes and builds; what is wrong is said in the user's words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from pipeline.config import build, by_default, register
from pipeline.construct import construct
from pipeline.data.files import NpzFile, SplitFolder
from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import UserError
from pipeline.libraries.installed import locate
from pipeline.plan import Plan, Stage
from pipeline.plan.roles import Role
from pipeline.results.reading import ROLES_BEFORE
from pipeline.zoo.source import OnnxModel, TorchModel

CONF = Path(str(files("pipeline.conf")))


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.fixture(autouse=True, scope="module")
def _hydra() -> Iterator[None]:
    register()
    with initialize_config_module("pipeline.conf", version_base="1.3"):
        yield


@cache
def plan(*overrides: str) -> Plan:
    return build(compose("config", list(overrides)), Path("outputs/test"), "test")


@pytest.fixture(scope="module")
def everything() -> Plan:
    """Every variant on every target, composed once."""
    variants = dict.fromkeys(["baseline", *names("variant")])
    return plan(f"variant=[{','.join(variants)}]", f"target=[{','.join(names('target'))}]")


def test_the_default_experiment_is_what_the_readme_says() -> None:
    default = plan()
    assert list(default.variants) == ["baseline", "dynamic_int8", "static_int8", "pruned", "pruned_int8", "fp16"]
    assert list(default.targets) == ["ort_cpu", "ort_cuda"]
    assert default.variants["fp16"].devices == ("cuda",)


@pytest.mark.parametrize("name", names("variant"))
def test_every_variant_composes(everything: Plan, name: str) -> None:
    assert everything.variants[name].name == name


@pytest.mark.parametrize("name", names("target"))
def test_every_target_composes(everything: Plan, name: str) -> None:
    assert everything.targets[name].name == name


@pytest.mark.parametrize("name", names("measure"))
def test_every_profile_composes(name: str) -> None:
    assert plan(f"measure={name}").measure.profile == name


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in ("experiment", "debug") for name in names(group)]
)
def test_every_experiment_composes_with_what_it_names(group: str, name: str) -> None:
    node: dict[str, Any] = yaml.safe_load((CONF / group / f"{name}.yaml").read_text())
    entries = [entry for entry in node.pop("defaults", []) if isinstance(entry, dict)]
    overridden = {key: value for entry in entries for key, value in entry.items()}
    chosen = plan(f"{group}={name}")
    assert {*node.get("variants", ()), *overridden.get("override /variant", ())} <= set(chosen.variants)
    assert {*node.get("target", ()), *overridden.get("override /target", ())} <= set(chosen.targets)
    assert chosen.batch_sizes == tuple(node.get("batch_sizes", plan().batch_sizes))
    assert chosen.measure.profile == node.get("measure", {}).get(
        "profile", overridden.get("override /measure", "default")
    )


def test_a_users_own_onnx_file_and_arrays_compose() -> None:
    chosen = plan("model=onnx", "model.path=m.onnx", "data=npz", "data.path=d.npz")
    assert isinstance(chosen.model, OnnxModel)
    assert isinstance(chosen.data, NpzFile)
    assert (chosen.model.path, chosen.data.path) == (Path("m.onnx"), Path("d.npz"))


def test_a_users_own_pytorch_model_and_folder_compose() -> None:
    shape = "+model.inputs={x:{shape:[3]}}"
    chosen = plan("model=torch", "model.factory=a.B", "model.weights=w.pt", shape, "data=folder", "data.path=d")
    assert isinstance(chosen.model, TorchModel)
    assert isinstance(chosen.data, SplitFolder)
    assert (chosen.model.factory, chosen.model.inputs["x"].shape, chosen.data.path) == ("a.B", (3,), Path("d"))


@pytest.mark.parametrize("name", ["audio", "images", "texts"])
def test_the_yaml_of_data_holds_exactly_its_fields_with_their_defaults(name: str) -> None:
    node: dict[str, Any] = yaml.safe_load((CONF / "data" / f"{name}.yaml").read_text())
    kind = locate(node.pop("_target_"))
    needed = {key: node.pop(key) for key, value in list(node.items()) if value == "???"}
    made = kind(**dict.fromkeys(needed, Path("p")))
    own = {key: getattr(made, key) for key in (field.name for field in fields(kind)) if key not in needed}
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in own.items()} == node


@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group in ("data", "metric", "model") for name in names(group)]
)
def test_what_ships_is_made_of_its_yaml(group: str, name: str) -> None:
    text = (CONF / group / f"{name}.yaml").read_text()
    node = yaml.safe_load(re.sub(r"\$\{package:\w+\}|\?\?\?", "there", text))
    node |= {"inputs": {"x": {"shape": [1]}}} if node.get("inputs") == "there" else {}
    node |= {"name": pytest.importorskip("timm").list_models()[0]} if name == "timm" else {}
    problems: list[str] = []
    assert construct(node, group, problems) is not None, problems


@pytest.mark.parametrize("name", names("stage"))
def test_a_stages_yaml_holds_exactly_its_fields_with_their_defaults(name: str) -> None:
    node: dict[str, Any] = yaml.safe_load((CONF / "stage" / f"{name}.yaml").read_text())
    kind = locate(node.pop("_target_"))
    assert set(node) == {field.name for field in fields(kind)}
    problems: list[str] = []
    plain = {key: value for key, value in node.items() if "${" not in str(value)}
    stage = construct({"_target_": f"{kind.__module__}.{kind.__qualname__}", **plain}, name, problems)
    assert not problems
    assert isinstance(stage, Stage)
    assert stage == kind()


@pytest.mark.parametrize("name", names("stage"))
def test_a_stage_declares_its_role_which_older_records_are_given(name: str) -> None:
    kind = locate(yaml.safe_load((CONF / "stage" / f"{name}.yaml").read_text())["_target_"])
    assert kind.role in get_args(Role)
    assert kind.role == ROLES_BEFORE.get(kind.__name__, kind.role)


def test_the_four_factors_vary_one_thing_at_a_time_around_the_baseline() -> None:
    chosen = plan("experiment=factors")
    assert chosen.grid == "one_at_a_time"
    assert (next(iter(chosen.variants)), next(iter(chosen.targets)), chosen.batch_sizes[0]) == (
        "baseline",
        "ort_cpu",
        1,
    )
    assert all(variant.name == name for name, variant in chosen.variants.items())
    assert all(target.name == name for name, target in chosen.targets.items())
    rows = [
        (variant, target, size)
        for variant in chosen.variants
        for target in chosen.targets
        for size in chosen.batch_sizes
        if chosen.has_row(variant, target, size)
    ]
    assert len(rows) == len(chosen.variants) + len(chosen.targets) + len(chosen.batch_sizes) - 2


def test_what_is_typed_beats_the_experiment() -> None:
    chosen = plan("experiment=factors", "measure=quick", "batch_sizes=[4]", "~variants.size_150")
    assert (chosen.measure.profile, chosen.batch_sizes) == ("quick", (4,))
    assert "size_150" not in chosen.variants


def test_an_override_reaches_one_variant_and_not_the_other() -> None:
    chosen = plan("variants.pruned_int8.stages.prune.pruning_ratio=0.25")
    ratio = {name: asdict(chosen.variants[name].stages["prune"])["pruning_ratio"] for name in ("pruned", "pruned_int8")}  # type: ignore[call-overload]
    assert ratio["pruned_int8"] == 0.25
    assert ratio["pruned"] != 0.25


def test_the_stages_of_a_variant_stay_in_order() -> None:
    assert list(plan().variants["pruned_int8"].stages) == ["prune", "compensate", "finetune", "export", "quantize"]


def test_a_chain_is_measured_step_by_step_where_that_is_asked() -> None:
    assert list(plan("variant=[baseline,pruned_int8]", "steps=[pruned_int8]").variants) == [
        "baseline",
        "pruned_int8.prune",
        "pruned_int8.compensate",
        "pruned_int8.finetune",
        "pruned_int8",
    ]
    with pytest.raises(UserError, match=r"steps: variant pruned is not selected; available: baseline, static_int8"):
        plan("variant=[baseline,static_int8]", "steps=[pruned]")


@dataclass(frozen=True, kw_only=True)
class Knob:
    size: int
    kind: str = "a"

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"size must be at least 0 (got {self.size})")


KNOB = f"{__name__}.Knob"


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ({"size": 1}, "here does not exist"),
        ({"_target_": "no_module.X"}, "here._target_=no_module.X can't be imported"),
        ({"_target_": KNOB}, "here.size has no value: type here.size=VALUE"),
        ({"_target_": KNOB, "size": "x"}, "here.size: input should be a valid integer"),
        (
            {"_target_": KNOB, "size": 1, "sise": 2},
            "here.sise does not exist; did you mean 'size'? available: size, kind",
        ),
        ({"_target_": KNOB, "size": -1}, "here: size must be at least 0 (got -1)"),
    ],
)
def test_what_is_wrong_with_a_node_is_said_with_its_key(node: dict[str, Any], problem: str) -> None:
    problems: list[str] = []
    assert construct(node, "here", problems) is None
    assert len(problems) == 1
    assert problem in problems[0]


def test_plain_dataclasses_inside_a_node_are_checked_too() -> None:
    problems: list[str] = []
    node = {
        "_target_": "pipeline.zoo.source.OnnxModel",
        "path": "m.onnx",
        "preprocessing": {"image": {"scale": 0.5}, "mask": {"sclae": 2}},
    }
    assert construct(node, "model", problems) is None
    assert problems == [
        "model.preprocessing.mask.sclae does not exist; did you mean 'scale'? available: scale, mean, std"
    ]
    node["preprocessing"] = {"image": {"scale": 0.5}}
    problems.clear()
    assert construct(node, "model", problems).preprocessing == {"image": Preprocessing(scale=0.5)}


def test_the_licences_of_model_and_data_are_what_the_user_says() -> None:
    assert plan("++model.licence=CC0-1.0", "++data.licence=null").licences == {"model": "CC0-1.0"}
    with pytest.raises(UserError, match=r"data\.licence: input should be a valid string"):
        plan("++data.licence=[MIT]")


def test_a_variant_needs_a_stage_with_a_target() -> None:
    problems: list[str] = []
    node = {"_target_": "pipeline.plan.Variant", "name": "v", "stages": {"export": {"opset": 18}}}
    assert construct(node, "variants.v", problems) is None
    assert problems == [
        "variants.v.stages.export does not exist here: no configuration of that name is selected, so it has no _target_"
    ]


def test_a_variant_and_a_target_are_named_by_their_keys() -> None:
    chosen = plan(
        "+variants.mine={_target_: pipeline.plan.Variant, stages: {}}",
        "+target.two={_target_: pipeline.plan.Target, backend: {_target_: pipeline.backends.onnxruntime.OnnxRuntime}}",
    )
    assert (chosen.variants["mine"].name, chosen.targets["two"].name) == ("mine", "two")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("+variants.baseline.name=x", "variants.baseline.name is x, but its key is its name: leave name out, or type"),
        ("+target.ort_cpu.name=../x", "target.ort_cpu.name is ../x, but its key is its name"),
        (
            "++variants={a/b: {_target_: pipeline.plan.Variant, stages: {}}}",
            "variants.a/b: a name holds letters, digits",
        ),
        ("+foo=1", "foo does not exist; available: model, data, metric"),
        ("+store.foo=1", "store.foo does not exist; available: path, max_gb"),
        ("batch_sizes=[1.5]", "batch_sizes.0: input should be a valid integer"),
        ("batch_sizes=[0]", "batch_sizes.0 must be at least 1 (got 0)"),
    ],
)
def test_what_nothing_reads_and_what_can_not_be_is_refused(override: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        plan(override)
    assert says in str(raised.value)


def test_what_a_search_says_of_a_variant_counts_only_where_it_was_typed() -> None:
    overrides = ["experiment=best", "variant=[baseline,static_int8]", "target=[ort_cpu]"]
    assert plan(*overrides).search is not None
    overrides.append("+search.choices.static_in8.quantize.symmetric=[true]")
    with pytest.raises(UserError) as raised:
        build(compose("config", overrides), Path("outputs/test"), shlex.join(["python", "-m", "pipeline", *overrides]))
    assert str(raised.value) == (
        "search.choices.static_in8 is not selected; did you mean 'static_int8'? selected: baseline, static_int8"
    )


def test_one_batch_size_needs_no_brackets() -> None:
    assert plan("batch_sizes=4").batch_sizes == (4,)


def test_a_run_has_a_new_folder_and_looking_at_the_configuration_makes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    node = OmegaConf.create({"dir": "${new_folder:taken}"})
    register(make_folders=False)
    assert node.dir == "taken"
    register()
    assert (node.dir, node.dir) == ("taken-2", "taken-2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken", "taken-2"]


@pytest.mark.parametrize(
    ("typed", "variants", "targets"),
    [
        ("measure=quick", {"baseline", "a", "b"}, {"x", "y"}),
        ("variant=[baseline,a]", set(), {"x", "y"}),
        ("variants.a.stages.quantize.seed=1 target.x.threads=2", {"baseline", "b"}, {"y"}),
        ("stage@variants.b.stages.quantize=quantize_static", {"baseline", "a"}, {"x", "y"}),
        ("~variants.b.stages.quantize", {"baseline", "a"}, {"x", "y"}),
        ("experiment=gpu", set(), set()),
    ],
)
def test_what_nobody_typed_is_there_by_default(typed: str, variants: set[str], targets: set[str]) -> None:
    command = f"python -m pipeline {typed}"
    assert by_default(command, "variant", "variants", ["baseline", "a", "b"]) == variants
    assert by_default(command, "target", "target", ["x", "y"]) == targets
