"""MLPerf's scenarios and the energy, in every format."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from pipeline.plan import MeasureSettings
from pipeline.report import report_schema
from pipeline.report.describe import device_lines, energy_lines
from pipeline.report.formats.json import json_text
from pipeline.report.formats.markdown import markdown_text
from pipeline.report.rows import all_rows
from pipeline.report.sections.scenarios import scenarios
from pipeline.report.sections.section import Section
from pipeline.report.tidy import figures_of
from pipeline.results.figures import ScenarioResult
from pipeline.results.record import Energy
from pipeline.results.report import Report
from tests.report import example
from tests.report.example import page_of, plain, printed

HOSTILE = "</script><script>alert(1)</script>"
STREAM = ScenarioResult(
    scenario="SingleStream",
    valid=True,
    reasons=[],
    p50_ms=1.2345,
    p90_ms=2.0,
    p99_ms=3.0,
    samples_per_s=813.2,
    queries=8132,
)
OFFLINE = replace(STREAM, scenario="Offline", samples_per_s=1045.0, queries=1)
LATE = ["Ending early: Too many outstanding queries", "Run unsuccessful."]
SERVER = replace(STREAM, scenario="Server", valid=False, reasons=LATE, bound_held=False, late_queries=1290)
BROKEN = ScenarioResult(scenario="Offline", valid=None, reasons=["its process was ended by SIGKILL"])


def report(*rows: tuple[str, list[ScenarioResult]]) -> Report:
    variants = [
        example.variant(name, [replace(example.result(0.4, found=None), scenarios=scenarios)])
        for name, scenarios in rows
    ]
    settings = MeasureSettings(scenario_s=10.0, server_qps=200, server_latency_ms=20.0)
    return replace(example.report(variants), measure=settings)


@pytest.fixture(name="both")
def _both() -> Report:
    return report(
        ("baseline", [STREAM, SERVER, BROKEN]), ("static_int8", [STREAM, replace(SERVER, valid=True), OFFLINE])
    )


def the_section(found: Report) -> Section:
    section = scenarios(found)
    assert section is not None
    return section


def rows(found: Report) -> list[list[str]]:
    return plain(the_section(found).parts[0].tables[0])


def test_the_variants_stand_below_each_other_in_each_scenario(both: Report) -> None:
    places = [(scenario, name, verdict) for name, _, scenario, verdict, *_ in rows(both)]
    assert places == [
        ("SingleStream", "baseline", "VALID"),
        ("SingleStream", "static_int8", "VALID"),
        ("Server", "baseline", "INVALID"),
        ("Server", "static_int8", "VALID"),
        ("Offline", "baseline", "not run"),
        ("Offline", "static_int8", "VALID"),
    ]


def test_offline_has_a_rate_and_no_latency(both: Report) -> None:
    assert rows(both)[-1][4:] == ["–", "–", "–", "1,045", "1"]
    assert rows(both)[-2][4:] == ["–"] * 5


def test_report_csv_has_each_scenario_with_its_verdict(both: Report) -> None:
    found = [figure for row in all_rows(both) for figure in figures_of(row) if figure.name == "Server_p99_ms"]
    assert [(figure.unit, figure.verdict) for figure in found] == [("ms", "INVALID"), ("ms", "VALID")]


def test_what_is_not_valid_is_told_in_loadgens_words(both: Report) -> None:
    notes = the_section(both).notes
    words = "Ending early: Too many outstanding queries; Run unsuccessful."
    assert f"INVALID: baseline on ort_cpu, batch 1, Server: {words}" in notes
    assert "not run: baseline on ort_cpu, batch 1, Offline: its process was ended by SIGKILL." in notes


def test_server_says_what_was_asked_and_who_kept_to_it(both: Report) -> None:
    notes = " ".join(the_section(both).notes)
    assert "Server: 200 queries a second on average, arriving at random" in notes
    assert "within 20.0 ms" in notes
    assert "The bound was not kept by baseline on ort_cpu, batch 1 (1,290 late)" in notes
    assert "The bound was kept" not in notes


def test_the_figures_do_not_pass_for_a_result_of_mlperf(both: Report) -> None:
    for text in (printed(both), markdown_text(both), page_of(both)):
        assert "not an MLPerf result" in " ".join(text.split())


def test_every_format_has_the_table(both: Report) -> None:
    for text in (printed(both), markdown_text(both), page_of(both)):
        assert "MLPerf scenarios" in text
        assert "SingleStream" in text
        assert "1.234" in text
        assert "INVALID" in text
    jsonschema.validate(json.loads(json_text(both)), report_schema())


@pytest.mark.parametrize("width", [120, 100, 80])
def test_the_table_fits_the_terminal(width: int, both: Report) -> None:
    lines = printed(both, width).splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.startswith("static_int8  ort_cpu, batch 1  SingleStream  VALID") for line in lines)


def test_nothing_is_said_of_scenarios_that_nobody_asked_for() -> None:
    found = example.typical()
    for text in (printed(found), markdown_text(found), page_of(found)):
        assert "MLPerf" not in text


def test_hostile_text_stays_text() -> None:
    found = report((f"baseline{HOSTILE}", [replace(SERVER, reasons=[HOSTILE])]))
    assert HOSTILE not in page_of(found)
    assert "<script" not in markdown_text(found)


@pytest.mark.parametrize(
    "broken", [{"scenario": "Burst"}, {"valid": "VALID"}, {"p50_ms": -1}, {"reasons": None}, {"surprise": 1}]
)
def test_the_schema_refuses_a_broken_scenario(broken: dict[str, Any], both: Report) -> None:
    document = json.loads(json_text(both))
    document["variants"][0]["results"][0]["scenarios"][0] |= broken
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, report_schema())


def test_the_report_says_why_energy_was_not_measured_once_for_all_its_rows() -> None:
    reason = "not measured: there is no counter"
    rows = [
        replace(example.result(0.4, found=None, target=target), energy=Energy(reason=reason))
        for target in ("ort_cpu", "torch_cpu")
    ]
    found = example.report([example.variant(name, rows) for name in ("baseline", "static_int8")])
    assert energy_lines(found) == [f"Energy on ort_cpu, torch_cpu: {reason}."]
    assert f"Energy on ort_cpu, torch_cpu: {reason}." in page_of(found)


def test_the_energy_of_an_inference_is_in_the_tables_with_its_source() -> None:
    text = markdown_text(example.typical())
    assert "energy (mJ)" in text
    assert "energy (mJ) 12.3" in text
    assert "Energy on ort_cpu: RAPL, whole package, over 5.00 s of calls back to back" in text


def test_a_device_time_that_is_not_known_says_why_once() -> None:
    rows = [replace(example.result(0.4, found=None, target="ort_cuda"), device_ms=None, device_reason="no stream")] * 2
    found = example.report([example.variant("baseline", rows)])
    said = "The device's own time on ort_cuda is not known of every row and round: no stream."
    assert device_lines(found) == [said]
    assert said in markdown_text(found)
    assert device_lines(example.typical()) == []
