"""MLPerf's scenarios: from LoadGen's log to the report's figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.results.figures import ScenarioResult

_NS_PER_MS = 1e6


def scenario_result(recorded: Mapping[str, Any]) -> ScenarioResult:
    """One scenario of one row; only the reason where it could not be run."""
    scenario, logs = recorded["scenario"], recorded.get("logs")
    if "reason" in recorded:
        return ScenarioResult(scenario=scenario, valid=None, reasons=[recorded["reason"]], logs=logs)
    return ScenarioResult(
        scenario=scenario,
        valid=recorded["valid"],
        reasons=list(recorded["reasons"]),
        p50_ms=_ms(recorded["p50_ns"]),
        p90_ms=_ms(recorded["p90_ns"]),
        p99_ms=_ms(recorded["p99_ns"]),
        samples_per_s=recorded["samples_per_s"],
        queries=recorded["queries"],
        late_queries=recorded["late_queries"],
        bound_held=recorded["bound_held"],
        logs=logs,
    )


def _ms(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / _NS_PER_MS
