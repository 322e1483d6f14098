"""Reads LoadGen's detail log: every figure and every word of a scenario comes from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import WorkerFailed

DETAIL = "mlperf_log_detail.txt"
_MARK = ":::MLLOG "
_RATES = {
    "SingleStream": "result_qps_with_loadgen_overhead",
    "Offline": "result_samples_per_second",
    "Server": "result_completed_samples_per_sec",
}
"""The key of each scenario's rate; LoadGen gives none for MultiStream."""
_PERCENTILES = {"p50_ns": "50.00", "p90_ns": "90.00", "p99_ns": "99.00"}


def read_scenario(folder: Path, scenario: str) -> dict[str, Any]:
    """A finished scenario as plain values: validity and reasons, latencies of a query, rate and counts.

    A figure that the log does not have is None. Raises WorkerFailed where the log has no verdict.
    """
    values, errors = _entries(folder / DETAIL)
    if "result_validity" not in values:
        raise WorkerFailed(f"LoadGen ended without a verdict{_told(errors)}: see {folder / DETAIL}")
    valid = values["result_validity"] == "VALID"
    of = "per_query_" if scenario == "MultiStream" else ""
    latencies = {name: values.get(f"result_{share}_percentile_{of}latency_ns") for name, share in _PERCENTILES.items()}
    return {
        "scenario": scenario,
        "valid": valid,
        "reasons": [] if valid else _reasons(values, errors),
        **latencies,
        "samples_per_s": values.get(_RATES.get(scenario, "")),
        "queries": values.get("result_query_count"),
        "late_queries": values.get("result_overlatency_query_count"),
        "bound_held": values.get("result_perf_constraints_met"),
        "loadgen": values.get("loadgen_version"),
    }


def _entries(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The log's values by key, and what it marks as an error."""
    values: dict[str, Any] = {}
    errors: list[str] = []
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return values, errors
    for line in lines:
        if not line.startswith(_MARK):
            continue
        try:
            entry = json.loads(line.removeprefix(_MARK))
        except json.JSONDecodeError:
            continue  # a rate that is not a number is written as C++ does, and counts as not there
        values[entry["key"]] = entry["value"]
        if entry["metadata"]["is_error"]:
            errors.append(_one_line(entry["value"]))
    return values, errors


def _reasons(values: Mapping[str, Any], errors: list[str]) -> list[str]:
    said = [_one_line(values.get("result_invalid_reason", ""))]
    if not values.get("early_stopping_met", True):
        said.append(_one_line(values.get("early_stopping_result", "")))
    return [reason for reason in [*errors, *said] if reason]


def _one_line(text: object) -> str:
    """LoadGen's words without its bullets and line ends."""
    return " ".join(word for word in str(text).split() if word != "*")


def _told(errors: list[str]) -> str:
    return f" ({'; '.join(errors)})" if errors else ""
