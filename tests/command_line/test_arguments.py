"""What people type reaches Hydra as they meant it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline.command_line.arguments import for_hydra
from pipeline.errors import UserError

COMMANDS = ("report", "verify", "store")
GROUPS = ("variant", "model")


def given(*argv: str) -> list[str]:
    return for_hydra(argv, COMMANDS, GROUPS)


def read(argument: str) -> Any:
    [override] = given(argument)
    return OverridesParser.create().parse_override(override).value()


@pytest.mark.parametrize(
    "name",
    [
        "date=2024-05-01", "lr=0.1,bs=32 (copy) [v2]", "modèle 1", "it's", "a{b}", "100%", "$x", "a#b;c", "~x", "a:b",
        "null", "1e3", "true", 'say "hi"', "${x}", "a\\b",
    ],
)  # fmt: skip
def test_a_file_is_found_whatever_its_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("")
    assert read(f"model.path={path}").replace("\\${", "${") == str(path)


def test_a_path_in_quotes_is_hydras() -> None:
    assert read("model.path='/a b/c=1.onnx'") == "/a b/c=1.onnx"


def test_an_interpolation_is_hydras() -> None:
    assert given("store.path=${oc.env:HOME}/store") == ["store.path=${oc.env:HOME}/store"]


def test_a_path_that_is_not_there_is_said_not_to_exist_and_not_that_it_can_not_be_parsed() -> None:
    assert read("data.path=/nowhere/date=1/x.npz") == "/nowhere/date=1/x.npz"


@pytest.mark.parametrize("name", ["input.1", "serving_default_input/x:0", "a b", "x[0]"])
def test_an_input_is_named_as_the_model_names_it(name: str) -> None:
    assert read(f"model.preprocessing.{name}.scale=0.5") == {name: {"scale": 0.5}}
    assert read(f"data.batch_axes.{name}=1") == {name: 1}
    assert read(f'+model.preprocessing={{"{name}": {{scale: 0.5}}}}') == {name: {"scale": 0.5}}


def test_flags_may_stand_anywhere() -> None:
    typed = ["measure=quick", "--config-dir", "D", "variant=[baseline]", "--cfg", "job"]
    assert given(*typed) == ["--config-dir", "D", "--cfg", "job", "measure=quick", "variant=[baseline]"]


def test_a_key_that_hydra_does_not_know_is_left_to_the_check_of_all() -> None:
    assert given("model.nope=1", "seed=1") == ["++model.nope=1", "seed=1"]


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("repport", "'repport' is no command and no setting: did you mean 'report'? commands: report, store, verify"),
        ("foo", "'foo' is no command and no setting: commands: report, store, verify; a setting is typed KEY=VALUE"),
        ("=1", "'=1' has no key"),
        ("+=1", "'+=1' has no key"),
        ("variant=null", "variant=null: variant is a group of configurations"),
        ("model=1", "model=1: model is a group of configurations"),
        ("variant=", "variant=: variant is a group of configurations"),
    ],
)
def test_what_can_not_be_meant_is_refused_in_one_line(typed: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        given(typed)
    assert str(raised.value).startswith(says)
