"""MLPerf's scenarios: a line for each row and scenario, and remarks on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.plan import MeasureSettings
from pipeline.report.rows import Row, all_rows
from pipeline.report.sections.section import Part, Section, grid, lines
from pipeline.results import numbers as show
from pipeline.results.figures import ScenarioResult
from pipeline.results.report import Report

TITLE = "MLPerf scenarios"
_WORDS = ("variant", "measured on", "scenario", "LoadGen says")
_FIGURES = ("p50 (ms)", "p90 (ms)", "p99 (ms)", "samples (1/s)", "queries")
_DROPPED_FIRST = ("queries", "p90", "samples", "p50")


def scenarios(report: Report) -> Section | None:
    """A line for each row and scenario, scenario by scenario, so that the variants stand below each other."""
    found = _found(report)
    if not found:
        return None
    order = list(dict.fromkeys(scenario.scenario for _, scenario in found))
    rows = [_cells(row, scenario) for name in order for row, scenario in found if scenario.scenario == name]
    table = replace(grid([*_WORDS, *_FIGURES], rows, words=len(_WORDS)), dropped_first=_DROPPED_FIRST)
    notes = _notes(report, found)
    return Section(
        title=TITLE,
        notes=notes,
        parts=[Part(tables=[table])],
        brief=[Part(title=TITLE, tables=[table]), Part(lines=lines(notes, "quiet"))],
    )


def _notes(report: Report, found: Sequence[tuple[Row, ScenarioResult]]) -> list[str]:
    """What the figures are, then a line for each scenario that is not valid or could not be run."""
    notes = [
        "Asked and timed by MLCommons' LoadGen, each row and scenario in a process of its own, for at least "
        f"{show.duration(report.measure.scenario_s)}; not an MLPerf result, which MLCommons would have to "
        "verify. Latency is a query's: one example, in MultiStream eight."
    ]
    servers = [(row, scenario) for row, scenario in found if scenario.scenario == "Server"]
    if servers:
        notes.append(_server_note(report.measure))
    for held, words in ((True, "The bound was kept"), (False, "The bound was not kept")):
        names = [_late(row, scenario) for row, scenario in servers if scenario.bound_held is held]
        notes += [f"{words} by {'; '.join(names)}."] if names else []
    notes += [
        f"{_verdict(scenario)}: {_name(row)}, {scenario.scenario}: {_reasons(scenario)}."
        for row, scenario in found
        if not scenario.valid
    ]
    return notes


def _found(report: Report) -> list[tuple[Row, ScenarioResult]]:
    return [(row, scenario) for row in all_rows(report) if row.result is not None for scenario in row.result.scenarios]


def _cells(row: Row, scenario: ScenarioResult) -> tuple[str, ...]:
    # In Offline a query is everything at once: its examples' latencies say when their turn came.
    latencies = (None,) * 3 if scenario.scenario == "Offline" else (scenario.p50_ms, scenario.p90_ms, scenario.p99_ms)
    figures = [show.NONE if value is None else show.number(value) for value in latencies]
    rate = _short(scenario.samples_per_s)
    queries = show.NONE if scenario.queries is None else show.count(scenario.queries)
    return (row.variant.name, row.place, scenario.scenario, _verdict(scenario), *figures, rate, queries)


def _verdict(scenario: ScenarioResult) -> str:
    if scenario.valid is None:
        return "not run"
    return "VALID" if scenario.valid else "INVALID"


def _reasons(scenario: ScenarioResult) -> str:
    return "; ".join(reason.rstrip(".") for reason in scenario.reasons) or "no reason given"


def _name(row: Row) -> str:
    return f"{row.variant.name} on {row.place}"


def _server_note(measure: MeasureSettings) -> str:
    return (
        f"Server: {_short(measure.server_qps)} queries a second on average, arriving at random (Poisson);"
        f" 99 % must be answered within {_short(measure.server_latency_ms)} ms of their arrival."
    )


def _short(value: float | None) -> str:
    return show.NONE if value is None else show.short(value)


def _late(row: Row, scenario: ScenarioResult) -> str:
    return _name(row) if scenario.late_queries is None else f"{_name(row)} ({show.count(scenario.late_queries)} late)"
