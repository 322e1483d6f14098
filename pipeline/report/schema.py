"""The JSON Schema of report.json, from the types that the report is made of.

A field's docstring is its description, and its type names its bounds.
"""

from __future__ import annotations

import re
from types import GenericAlias
from typing import Any

from pipeline.results.header import Header
from pipeline.results.report import SCHEMA_VERSION, Report

_MEASURED_OR_REASONED = {
    "if": {"properties": {"status": {"const": "ok"}}},
    "else": {
        "properties": {
            "reason": {"type": "string", "minLength": 1},
            "latency_ms": {"type": "null"},
            "speedup": {"type": "null"},
        }
    },
}
"""What fields of a row decide together: one that was not measured has a reason and no figures."""
_SHARES_IN_PERCENT = {
    "if": {"properties": {"unit": {"const": "percent"}}},
    "then": {
        "properties": {
            **{name: {"minimum": 0, "maximum": 1} for name in ("value", "low", "high")},
            **{name: {"minimum": -1, "maximum": 1} for name in ("delta", "delta_low", "delta_high")},
        }
    },
}
"""A figure that is written in per cent is a share."""
_LEFT_OUT = ("title", "default")
"""A field's name with a capital, and a default for what every report has."""
_JSON_WORDS = {"None": "null", "True": "true", "False": "false"}


def report_schema(kind: type[Report] = Report) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of report.json."""
    kinds = _definitions(kind, Header)
    report, header = kinds.pop(kind.__name__), kinds.pop("Header")
    # Pydantic reads the docstrings of a class's own fields only, so the header's come from the header.
    report["properties"] |= header["properties"]
    kinds["Result"] |= _MEASURED_OR_REASONED
    kinds["Accuracy"] |= _SHARES_IN_PERCENT
    about = (
        "What a run found: report.json. Fractions are not per cent; sizes are bytes; times are milliseconds where the "
        "name says so, seconds otherwise."
    )
    return _document("report", SCHEMA_VERSION, about, report, kinds)


def schema_of(kind: type, name: str, version: int, about: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a document that is one dataclass, by the document's name and version."""
    kinds = _definitions(kind)
    return _document(name, version, about, kinds.pop(kind.__name__), kinds)


def _definitions(*kinds: type) -> dict[str, Any]:
    from pydantic import ConfigDict, TypeAdapter

    config = ConfigDict(use_attribute_docstrings=True, extra="forbid", json_schema_serialization_defaults_required=True)
    read: Any = GenericAlias(tuple, (*kinds, *kinds))  # a class that is read once has no definition of its own
    found: dict[str, Any] = _tidied(TypeAdapter(read, config=config).json_schema(mode="serialization"))["$defs"]
    return found


def _document(name: str, version: int, about: str, top: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:slimline:{name}:{version}",
        "title": f"slimline {name}",
        **top,
        "description": about,
        "$defs": kinds,
    }


def _tidied(node: Any) -> Any:
    """A schema without what says nothing, its descriptions in JSON's words."""
    if isinstance(node, list):
        return [_tidied(part) for part in node]
    if not isinstance(node, dict):
        return node
    return {key: _tidied_entry(key, value) for key, value in node.items() if key not in _LEFT_OUT}


def _tidied_entry(key: str, value: Any) -> Any:
    if key in ("properties", "$defs"):
        return {name: _tidied(part) for name, part in value.items()}
    return _in_json_words(value) if key == "description" else _tidied(value)


def _in_json_words(docstring: str) -> str:
    """``None`` is null in JSON, and names need no backquotes."""
    text = re.sub(r"\b(None|True|False)\b", lambda word: _JSON_WORDS[word[0]], docstring.replace("``", ""))
    return " ".join(text.split())
