"""report.json keeps to the shipped schema, and the schema refuses what is broken."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

import jsonschema
import pytest

from pipeline.bounds import NotNegative
from pipeline.report import report_schema
from pipeline.report.formats.json import json_text, plain
from pipeline.results import figures
from pipeline.results.factors import Factors
from pipeline.results.header import Peaks
from pipeline.results.intervals import AccuracyVerdict, Quantile
from pipeline.results.record import StageRecord
from pipeline.results.report import Report, Result, VariantResult
from tests.report import example

known_schema = functools.cache(report_schema)


def _check(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(known_schema()).validate(document)


@pytest.fixture(name="document")
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json_text(example.typical()))
    return document


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(known_schema())


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


def test_an_error_may_be_of_any_size(document: dict[str, Any]) -> None:
    for key, figure in (("value", 93.85), ("high", 94.5), ("delta", -3.5), ("unit", "error")):
        _set("variants", 1, "results", 0, "accuracy", key, value=figure)(document)
    _check(document)


@pytest.mark.parametrize("kind", [VariantResult, StageRecord, Result, Quantile, Peaks, Factors])
def test_the_schema_requires_every_field_and_knows_no_other(kind: type[Any]) -> None:
    definition = known_schema()["$defs"][kind.__name__]
    assert set(definition["required"]) == set(definition["properties"]) == {field.name for field in fields(kind)}
    assert definition["additionalProperties"] is False


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended(Report):
    """A report with a field more."""

    carbon_g: NotNegative | None = None
    """What the run's electricity has emitted, in ``grams``; None where it is not known."""


def test_a_field_of_the_report_is_one_field_of_its_type() -> None:
    schema = report_schema(Extended)
    assert schema["properties"]["carbon_g"] == {
        "description": "What the run's electricity has emitted, in grams; null where it is not known.",
        "anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}],
    }
    assert "carbon_g" in schema["required"]
    extended = Extended(**{field.name: getattr(example.typical(), field.name) for field in fields(Report)}, carbon_g=2)
    document = json.loads(json_text(extended))
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError, match="-2 is less than the minimum of 0"):
        jsonschema.validate({**document, "carbon_g": -2}, schema)
    with pytest.raises(jsonschema.ValidationError, match="carbon_g"):
        _check(document)


def test_fields_are_described_in_the_words_of_json() -> None:
    schema = known_schema()
    texts = re.findall(r'"description": "([^"]*)"', json.dumps(schema))
    assert schema["properties"]["created"]["description"] == "The time of the run in ISO 8601, with the zone."
    assert len(texts) > 150
    assert not [text for text in texts if re.search(r"``|\bNone\b|\n", text)]


def test_the_schema_knows_every_verdict() -> None:
    definitions = known_schema()["$defs"]
    assert set(definitions["Speedup"]["properties"]["verdict"]["enum"]) == set(get_args(figures.SpeedVerdict))
    assert set(definitions["Limits"]["properties"]["verdict"]["anyOf"][0]["enum"]) == set(
        get_args(figures.LimitVerdict)
    )
    assert definitions["Accuracy"]["properties"]["verdict"]["anyOf"] == [
        {"enum": list(get_args(AccuracyVerdict)), "type": "string"}, {"type": "null"},
    ]  # fmt: skip


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
