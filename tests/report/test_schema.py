"""report.json keeps to the shipped schema, and the schema refuses what is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, get_args

import jsonschema
import pytest

from pipeline import results
from pipeline.header import Peaks
from pipeline.intervals import Quantile
from pipeline.record import StageRecord
from pipeline.report import report_schema
from pipeline.report.plain import json_text, plain
from pipeline.results import Report
from tests.report import example


def _check(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(report_schema()).validate(document)


@pytest.fixture(name="document")
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json_text(example.typical()))
    return document


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


@pytest.mark.parametrize("report", [example.typical(), example.report([]), example.unlabelled()])
def test_a_report_keeps_to_the_schema(report: Report) -> None:
    _check(json.loads(json_text(report)))


def _set(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("schema_version", value=2),
        _set("surprise", value=1),
        _set("recommendation", "batch_size", value="1"),
        _set("variants", 1, "results", 0, "speedup", "verdict", value="QUICK"),
        _set("variants", 1, "results", 0, "accuracy", "verdict", value="FASTER"),
        _set("variants", 1, "results", 0, "accuracy", "value", value=93.85),
        _set("variants", 1, "results", 0, "latency_ms", "p50", value=0.4),
        _set("variants", 0, "results", 1, "reason", value=None),
        _set("variants", 0, "results", 1, "status", value="ok, on the CPU"),
        _set("variants", 0, "digest", value="3f"),
        _set("variants", 0, "stages", 0, "seconds", value="2 s"),
        _set("noise", "timed_share", value=61),
        lambda document: document.pop("machine"),
        lambda document: document["variants"][0]["results"][0].pop("speedup"),
    ],
)
def test_the_schema_refuses_a_broken_report(document: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> None:
    change(document)
    with pytest.raises(jsonschema.ValidationError):
        _check(document)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("recommendation", results.Recommendation),
        ("noise", results.Noise),
        ("variant", results.VariantResult),
        ("stage", StageRecord),
        ("result", results.Result),
        ("accuracy", results.Accuracy),
        ("latency", results.Latency),
        ("quantile", Quantile),
        ("reference", results.Reference),
        ("speedup", results.Speedup),
        ("device_time", results.DeviceTime),
        ("energy", results.Energy),
        ("scenario", results.ScenarioResult),
        ("limits", results.Limits),
        ("peaks", Peaks),
    ],
)
def test_the_schema_requires_every_field_and_knows_no_other(name: str, kind: type[Any]) -> None:
    definition = report_schema()["$defs"][name]
    expected = {field.name for field in fields(kind)}
    assert set(definition["required"]) == set(definition["properties"]) == expected


def test_the_schema_knows_every_verdict() -> None:
    definitions = report_schema()["$defs"]
    assert set(definitions["speedup"]["properties"]["verdict"]["enum"]) == set(get_args(results.SpeedVerdict))
    assert set(definitions["limits"]["properties"]["verdict"]["enum"]) == {*get_args(results.LimitVerdict), None}
    assert set(definitions["accuracy"]["properties"]["verdict"]["enum"]) == {*get_args(results.AccuracyVerdict), None}


def test_figures_that_are_not_finite_become_null() -> None:
    assert plain({"drift": {"sqnr_db": float("inf"), "cosine": float("nan"), "max_abs": 0.0}}) == {
        "drift": {"sqnr_db": None, "cosine": None, "max_abs": 0.0}
    }


def test_an_unbounded_interval_still_gives_valid_json() -> None:
    report = example.unbounded()
    document = json.loads(json_text(report), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    _check(document)
    assert document["variants"][1]["results"][0]["speedup"]["high"] is None


def test_the_order_of_the_file_begins_with_its_version() -> None:
    assert next(iter(json.loads(json_text(replace(example.typical(), seed=7))))) == "schema_version"
