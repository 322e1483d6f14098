"""What LoadGen logged becomes a row's scenarios; records that know nothing of them still load."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.analyse import analyse
from pipeline.analyse.scenarios import scenario_result
from pipeline.results.record import Energy
from pipeline.results.report import Result
from tests.analyse.synthetic import make_record

LOGGED: dict[str, Any] = {
    "scenario": "Server",
    "valid": False,
    "reasons": ["Reduce target QPS to improve latency."],
    "p50_ns": 1_500_000,
    "p90_ns": 2_000_000,
    "p99_ns": None,
    "samples_per_s": 105.7,
    "queries": 107,
    "late_queries": 12,
    "bound_held": False,
    "loadgen": "6.0.17",
    "logs": "loadgen/baseline@ort_cpu-1/Server",
}


def test_nanoseconds_become_milliseconds() -> None:
    found = scenario_result(LOGGED)
    assert (found.p50_ms, found.p90_ms, found.p99_ms) == (1.5, 2.0, None)
    assert (found.valid, found.bound_held, found.late_queries) == (False, False, 12)
    assert found.logs == LOGGED["logs"]


def test_a_scenario_that_could_not_be_run_has_its_reason_alone() -> None:
    found = scenario_result({"scenario": "Offline", "reason": "RuntimeError: no such operator"})
    assert found.valid is None
    assert found.reasons == ["RuntimeError: no such operator"]


def first_result(**fields: Any) -> Result:
    record = make_record()
    subjects = [replace(subject, **fields) for subject in record.subjects]
    return analyse(replace(record, subjects=subjects)).variants[0].results[0]


def test_a_row_has_what_was_recorded_of_it() -> None:
    measured = Energy(joules_per_inference=0.012, watts=31.0, seconds=5.0, calls=2000, source="RAPL")
    found = first_result(scenarios=[LOGGED], energy=measured)
    assert [scenario.scenario for scenario in found.scenarios] == ["Server"]
    assert found.energy == measured


def test_energy_that_was_not_measured_keeps_its_reason() -> None:
    reason = Energy(reason="not measured: no counter")
    assert first_result(energy=reason).energy == reason


def test_a_record_that_knows_of_neither_gives_a_row_without_them() -> None:
    found = first_result()
    assert found.energy is None
    assert found.scenarios == []
