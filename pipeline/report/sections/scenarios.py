"""MLPerf's scenarios: a line for each row and scenario, and what there is to say about them, for every format alike."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import numbers as show
from pipeline.plan import MeasureSettings
from pipeline.report.rows import Row, all_rows
from pipeline.report.verdicts import Tone
from pipeline.results import Report, ScenarioResult

TITLE = "MLPerf scenarios"
LABELS = ("variant", "measured on", "scenario", "LoadGen says")
FIGURES = ("p50 (ms)", "p90 (ms)", "p99 (ms)", "samples (1/s)", "queries")
_TONES: dict[str, Tone] = {"VALID": "good", "INVALID": "bad", "not run": "caution"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLine:
    """One row in one scenario."""

    variant: str
    place: str
    scenario: str
    verdict: str
    tone: Tone
    """Of the verdict."""
    figures: tuple[str, ...]
    """One for each of ``FIGURES``."""

    @property
    def labels(self) -> tuple[str, ...]:
        """One for each of ``LABELS``."""
        return (self.variant, self.place, self.scenario, self.verdict)


def scenario_lines(report: Report) -> list[ScenarioLine]:
    """All of them, scenario by scenario, so that the variants stand below each other."""
    found = _found(report)
    order = list(dict.fromkeys(scenario.scenario for _, scenario in found))
    return [_line(row, scenario) for name in order for row, scenario in found if scenario.scenario == name]


def scenario_notes(report: Report) -> list[str]:
    """What the figures are, then a line for each scenario that is not valid or could not be run."""
    found = _found(report)
    if not found:
        return []
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


def _line(row: Row, scenario: ScenarioResult) -> ScenarioLine:
    # In Offline a query is everything at once: its examples' latencies say when their turn came.
    latencies = (None,) * 3 if scenario.scenario == "Offline" else (scenario.p50_ms, scenario.p90_ms, scenario.p99_ms)
    figures = [show.NONE if value is None else show.number(value) for value in latencies]
    rate = _short(scenario.samples_per_s)
    queries = show.NONE if scenario.queries is None else show.count(scenario.queries)
    verdict = _verdict(scenario)
    return ScenarioLine(
        variant=row.variant.name,
        place=_place(row),
        scenario=scenario.scenario,
        verdict=verdict,
        tone=_TONES[verdict],
        figures=(*figures, rate, queries),
    )


def _verdict(scenario: ScenarioResult) -> str:
    if scenario.valid is None:
        return "not run"
    return "VALID" if scenario.valid else "INVALID"


def _reasons(scenario: ScenarioResult) -> str:
    return "; ".join(reason.rstrip(".") for reason in scenario.reasons) or "no reason given"


def _place(row: Row) -> str:
    return "" if row.result is None else f"{row.result.target}, batch {row.result.batch_size}"


def _name(row: Row) -> str:
    return f"{row.variant.name} on {_place(row)}"


def _server_note(measure: MeasureSettings) -> str:
    return (
        f"Server: {_short(measure.server_qps)} queries a second on average, arriving at random (Poisson);"
        f" 99 % must be answered within {_short(measure.server_latency_ms)} ms of their arrival."
    )


def _short(value: float | None) -> str:
    return show.NONE if value is None else show.short(value)


def _late(row: Row, scenario: ScenarioResult) -> str:
    return _name(row) if scenario.late_queries is None else f"{_name(row)} ({show.count(scenario.late_queries)} late)"
