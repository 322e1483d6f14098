import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import WorkerFailed
from pipeline.measure.loadgen.log import DETAIL, read_scenario

SINGLE_STREAM = {
    "loadgen_version": "6.0.17 @ d6147c7eb7",
    "result_validity": "VALID",
    "early_stopping_met": True,
    "early_stopping_result": " * Processed at least 64 queries (815).",
    "result_query_count": 815,
    "result_qps_with_loadgen_overhead": 813.246,
    "result_50.00_percentile_latency_ns": 1164091,
    "result_90.00_percentile_latency_ns": 1263757,
    "result_99.00_percentile_latency_ns": 2117522,
}
SERVER = {
    "result_validity": "INVALID",
    "result_perf_constraints_met": False,
    "early_stopping_met": False,
    "result_invalid_reason": "Reduce target QPS to improve latency. ",
    "early_stopping_result": " * Run unsuccessful.  * Processed 107 queries.",
    "result_query_count": 107,
    "result_overlatency_query_count": 12,
    "result_completed_samples_per_sec": 105.672,
    "result_50.00_percentile_latency_ns": 1399116,
    "result_90.00_percentile_latency_ns": 2092975,
    "result_99.00_percentile_latency_ns": 4202898,
}


def entry(key: str, value: Any, is_error: bool = False) -> str:
    return ":::MLLOG " + json.dumps({"key": key, "value": value, "metadata": {"is_error": is_error}})


def log(folder: Path, values: dict[str, Any], *more: str) -> Path:
    (folder / DETAIL).write_text("\n".join([*(entry(key, value) for key, value in values.items()), *more]) + "\n")
    return folder


def test_a_valid_run_has_its_latencies_and_its_rate_and_no_reasons(tmp_path: Path) -> None:
    assert read_scenario(log(tmp_path, SINGLE_STREAM), "SingleStream") == {
        "scenario": "SingleStream",
        "valid": True,
        "reasons": [],
        "p50_ns": 1164091,
        "p90_ns": 1263757,
        "p99_ns": 2117522,
        "samples_per_s": 813.246,
        "queries": 815,
        "late_queries": None,
        "bound_held": None,
        "loadgen": "6.0.17 @ d6147c7eb7",
    }


def test_an_invalid_run_says_why_in_loadgens_words(tmp_path: Path) -> None:
    error = entry("error_runtime", "Ending early: Too many outstanding queries.\n", is_error=True)
    found = read_scenario(log(tmp_path, SERVER, error), "Server")
    assert found["valid"] is False
    assert found["reasons"] == [
        "Ending early: Too many outstanding queries.",
        "Reduce target QPS to improve latency.",
        "Run unsuccessful. Processed 107 queries.",
    ]
    assert (found["bound_held"], found["late_queries"]) == (False, 12)


def test_in_multistream_the_latency_is_that_of_the_whole_query(tmp_path: Path) -> None:
    values = {**SINGLE_STREAM, "result_50.00_percentile_per_query_latency_ns": 8 * 10**6}
    found = read_scenario(log(tmp_path, values), "MultiStream")
    assert found["p50_ns"] == 8 * 10**6
    assert found["p99_ns"] is None
    assert found["samples_per_s"] is None, "LoadGen gives none"


def test_a_rate_that_is_not_a_number_is_not_there(tmp_path: Path) -> None:
    values = {key: value for key, value in SINGLE_STREAM.items() if "qps" not in key}
    broken = ':::MLLOG {"key": "result_qps_with_loadgen_overhead", "value": -nan, "metadata": {"is_error": false}}'
    assert read_scenario(log(tmp_path, values, broken), "SingleStream")["samples_per_s"] is None


def test_a_log_without_a_verdict_is_a_failure_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match="LoadGen ended without a verdict: see "):
        read_scenario(tmp_path, "Server")
    error = entry("error_invalid_test_settings", "Invalid value", is_error=True)
    with pytest.raises(WorkerFailed, match=r"without a verdict \(Invalid value\): see .*detail"):
        read_scenario(log(tmp_path, {}, error), "Server")
