"""Writes what was found as JSON, and the JSON Schema that it keeps to."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console

from pipeline.report.formats.json import plain
from pipeline.report.schema import schema_of


def print_document(found: Any, console: Console) -> None:
    """Print a dataclass as JSON."""
    print_json(plain(found), console)


def print_schema(kind: type, name: str, version: int, about: str, console: Console) -> None:
    """Print the JSON Schema of such documents."""
    print_json(schema_of(kind, name, version, about), console)


def print_json(values: Any, console: Console) -> None:
    """Print plain values as JSON, without any of the terminal's styles."""
    console.print(json.dumps(values, indent=1, allow_nan=False), markup=False, highlight=False, soft_wrap=True)
