"""The JSON Schema of sweep.json."""

from __future__ import annotations

from typing import Any

from pipeline.report.schema import schema_of
from pipeline.results.sweep import ABOUT, SCHEMA_VERSION, Sweep


def sweep_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of sweep.json."""
    return schema_of(Sweep, "sweep", SCHEMA_VERSION, ABOUT)
