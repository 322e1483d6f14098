"""docs/SKILL.md: every command in it works as it is typed, and what it says of JSON is there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.command_line.arguments import NAMES
from pipeline.command_line.inspect import look
from pipeline.command_line.optimize import search
from pipeline.inspection.dry_run import DryRun
from pipeline.inspection.inspection import Inspection
from pipeline.report import report_schema
from pipeline.report.schema import schema_of
from pipeline.sweep.schema import sweep_schema
from tests.command_line.typing import run, write_model_and_data

SKILL = (Path(__file__).parents[1] / "docs" / "SKILL.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"`(python -m pipeline [^`]+)`")
UNFINISHED = ("report", "verify", "sign", "compare", "track", "bundle", "kit")
"""The commands that need what a run has left."""
SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "inspect --json": schema_of(Inspection, "inspection", 1, ""),
    "plan --json": schema_of(DryRun, "plan", 1, ""),
    "report.json": report_schema(),
    "sweep.json": sweep_schema(),
}


def typed() -> list[str]:
    return list(dict.fromkeys(COMMAND.findall(SKILL)))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_model_and_data("model.onnx")
    Path("d.npz").rename("data.npz")


@pytest.mark.slow
@pytest.mark.parametrize("command", typed())
def test_a_command_works_as_it_is_typed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command)[3:]
    if words[0] == "optimize":
        assert search(words[1:]).words
    elif words[:2] == ["inspect", "model.onnx"]:
        asked = look(words[1:])
        assert asked is not None
        assert asked.as_json
    elif words[0] in UNFINISHED:
        code, _, error = run(capsys, *words)
        assert (code, "outputs/latest" in error) == (2, True)
    elif words[0] == "doctor":
        pytest.skip("tests/doctor has it")
    elif words[0] in NAMES or words[0].startswith("-") or "--cfg" in words:
        code, out, _ = run(capsys, *words)
        assert code == 0
        assert "--json" not in words or json.loads(out)
    else:
        assert run(capsys, "plan", *words)[0] == 0


def test_the_keys_that_it_names_are_in_the_schemas() -> None:
    for document, schema in SCHEMAS.items():
        [line] = [line for line in SKILL.splitlines() if line.startswith(f"| `{document}`")]
        assert set(re.findall(r"`(\w+)`", line.rpartition(" | ")[2])) <= set(schema["properties"])


def test_the_paths_into_a_report_exist() -> None:
    definitions = SCHEMAS["report.json"]["$defs"]
    named = {
        "Recommendation": ("variant", "target", "batch_size", "why"),
        "Result": ("status", "reason", "speedup", "accuracy"),
        "Accuracy": ("verdict", "delta", "delta_low", "delta_high"),
        "Speedup": ("verdict", "value", "low", "high"),
    }
    for kind, keys in named.items():
        assert set(keys) <= set(definitions[kind]["properties"])
        assert set(keys) <= set(re.findall(r"\w+", SKILL))
