"""Runs of earlier times, kept as they were written: what is added later breaks no earlier reader, and is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.analyse import analyse
from pipeline.report import report_schema
from pipeline.results.reading import load_run
from pipeline.results.record import RECORD_VERSION
from pipeline.results.report import SCHEMA_VERSION

KEPT = sorted((Path(__file__).parent / "kept").iterdir())


def test_there_is_a_run_of_this_version() -> None:
    versions = [
        (_json(run / "samples" / "record.json")["record_version"], _json(run / "report.json")["schema_version"])
        for run in KEPT
    ]
    assert (RECORD_VERSION, SCHEMA_VERSION) in versions


@pytest.mark.parametrize("run", KEPT, ids=lambda run: run.name)
def test_an_earlier_record_is_read_and_judged_as_it_was(run: Path) -> None:
    report = analyse(load_run(run))
    kept = _json(run / "report.json")
    assert [variant.name for variant in report.variants] == [variant["name"] for variant in kept["variants"]]
    for variant, earlier in zip(report.variants, kept["variants"], strict=True):
        for row, before in zip(variant.results, earlier["results"], strict=True):
            assert row.speedup is None or before["speedup"]["value"] == pytest.approx(row.speedup.value)
            assert row.accuracy is None or before["accuracy"]["value"] == row.accuracy.value


@pytest.mark.parametrize("run", KEPT, ids=lambda run: run.name)
def test_what_an_earlier_report_has_is_still_there_with_its_type(run: Path) -> None:
    jsonschema.validate(_json(run / "report.json"), _without_required(report_schema()))


def test_a_field_that_is_gone_would_be_seen() -> None:
    values = _json(KEPT[0] / "report.json") | {"a_field_that_is_gone": 1}
    with pytest.raises(jsonschema.ValidationError, match="a_field_that_is_gone"):
        jsonschema.validate(values, _without_required(report_schema()))


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _without_required(node: Any) -> Any:
    """A schema that lets fields be missing: those that were added since."""
    if isinstance(node, list):
        return [_without_required(part) for part in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_required(part) for key, part in node.items() if key != "required" or isinstance(part, dict)}
