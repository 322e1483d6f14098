"""A row's figures, one by one: the lines of report.csv and the metrics of a tracking server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.report.fields import values_of
from pipeline.report.rows import Row
from pipeline.results.figures import ScenarioResult, WholeCall

UNITS: Final[Mapping[str, str]] = {
    "_ms": "ms",
    "_bytes": "bytes",
    "bytes_per_s": "bytes/s",
    "_per_s": "1/s",
    "watts": "W",
    "joules_per_inference": "J",
    "cost_per_million": "",
}
"""The unit that a figure's name ends with. Every other one is a plain number, a share or a ratio: ``1``. The cost's is
that of ``constraints.cost_per_hour``, which nobody told."""
PLACES: Final = frozenset({"batch_size", "reference_batch_size"})
"""Numbers that say which row it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of a row, raw: fractions, not per cent."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    """The upper end; None also where an interval has none."""
    verdict: str | None = None

    @property
    def unit(self) -> str:
        """The unit of the value and of its interval."""
        return next((unit for ending, unit in UNITS.items() if self.name.endswith(ending)), "1")

    @property
    def numbers(self) -> dict[str, float]:
        """The value and its interval's ends, by name."""
        ends = {f"{self.name}_low": self.low, f"{self.name}_high": self.high}
        return {self.name: self.value, **{name: end for name, end in ends.items() if end is not None}}


def figures_of(row: Row) -> list[Figure]:
    """All figures that a row has: those of the tables, the whole call's steps, and the scenarios'."""
    found = list(_figures(values_of(row)))
    if row.result is not None:
        found += [] if row.result.call is None else _call(row.result.call)
        found += [figure for scenario in row.result.scenarios for figure in _scenario(scenario)]
    return found


def _figures(values: Mapping[str, Any]) -> Iterator[Figure]:
    """A figure for each number; the ends of its interval and its verdict go by its name."""
    for name, value in values.items():
        stem, _, ending = name.rpartition("_")
        end = ending in ("low", "high") and stem in values
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in PLACES and not end:
            rest = {part: values.get(f"{name}_{part}") for part in ("low", "high", "verdict")}
            yield Figure(name=name, value=value, **rest)


def _call(call: WholeCall) -> list[Figure]:
    ratios = {"call_speedup": call.speedup, "call_model_speedup": call.model_speedup}
    ratios |= {f"call_{step.step}_share": step.share for step in call.steps}
    return [
        Figure(name="call_ms", value=call.ms),
        *(Figure(name=f"call_{step.step}_ms", value=step.ms) for step in call.steps),
        *(
            Figure(name=name, value=ratio.value, low=ratio.low, high=ratio.high)
            for name, ratio in ratios.items()
            if ratio is not None
        ),
    ]


def _scenario(found: ScenarioResult) -> list[Figure]:
    values = {
        "p50_ms": found.p50_ms,
        "p90_ms": found.p90_ms,
        "p99_ms": found.p99_ms,
        "samples_per_s": found.samples_per_s,
        "queries": found.queries,
        "late_queries": found.late_queries,
    }
    verdict = None if found.valid is None else "VALID" if found.valid else "INVALID"
    return [
        Figure(name=f"{found.scenario}_{name}", value=value, verdict=verdict)
        for name, value in values.items()
        if value is not None
    ]
