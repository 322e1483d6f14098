"""A metric's YAML holds its fields and their defaults."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.libraries.installed import locate
from pipeline.metrics import class_path

CONF = Path(__file__).parents[2] / "conf" / "metric"


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_a_metrics_yaml_holds_exactly_its_fields_with_their_defaults(name: str) -> None:
    node: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    path = node.pop("_target_")
    kind = locate(path)
    assert node == {field.name: "???" if field.default is MISSING else field.default for field in fields(kind)}
    assert class_path(kind(**{key: "a.b" for key, default in node.items() if default == "???"})) == path
