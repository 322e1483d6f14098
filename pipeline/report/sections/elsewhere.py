"""The other machines that the models were measured on, and what is fastest here and there."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.plan import BASELINE
from pipeline.report import describe
from pipeline.report.sections.section import Part, Section, lines
from pipeline.results import numbers as show
from pipeline.results.report import Elsewhere, Report, Result, is_here

NOTE = (
    "A target called target@machine was measured there, by a kit or as a node of a cluster. Each row is compared with "
    "the baseline of its own machine; times of two machines have no ratio here."
)


def elsewhere(report: Report) -> Section | None:
    """A part for each machine; the terminal has the fastest rows, and what to deploy there."""
    if not report.elsewhere:
        return None
    fastest = lines([fastest_line(report)])
    parts = [Part(title=found.name, lines=lines(_lines(found))) for found in report.elsewhere]
    return Section(
        title="On other machines",
        notes=[NOTE],
        parts=[Part(lines=fastest), *parts],
        brief=[Part(lines=fastest), *(Part(lines=lines([_deploy(found)])) for found in report.elsewhere)],
    )


def fastest_line(report: Report) -> str:
    """The fastest row of this machine and of each other, by the lower end of its speed-up, with its verdict."""
    names = [found.name for found in report.elsewhere]
    here = _fastest(row for row in _rows(report) if is_here(row[1].target))
    there = [
        f"on {name}: {_fastest(row for row in _rows(report) if row[1].target.endswith(f'@{name}'))}" for name in names
    ]
    return f"Fastest here: {here}; {'; '.join(there)}."


def _rows(report: Report) -> Iterator[tuple[str, Result]]:
    for variant in report.variants:
        for result in variant.results:
            if result.status == "ok" and result.latency_ms is not None:
                yield variant.name, result


def _fastest(rows: Iterator[tuple[str, Result]]) -> str:
    timed = list(rows)
    if not timed:
        return "nothing was timed"
    name, result = max(timed, key=lambda row: 1.0 if row[1].speedup is None else row[1].speedup.low)
    where = f"{name} on {result.target.partition('@')[0]}"
    if result.speedup is None:
        return f"{where}, as no variant is surely faster" if name == BASELINE else where
    return f"{where} ({show.number(result.speedup.value, 3)}x, {result.speedup.verdict})"


def _lines(found: Elsewhere) -> Iterator[str]:
    yield f"{describe.machine_line(found.machine)}, {found.created}."
    yield found.summary
    yield _deploy(found)
    yield from describe.noise_lines(found.noise)
    yield from describe.busy_lines(found.noise)


def _deploy(found: Elsewhere) -> str:
    chosen = found.recommendation
    if chosen is None:
        return f"Recommended on {found.name}: none. {describe.ended(found.why_none or 'no reason was recorded')}"
    why = describe.ended(chosen.why)
    return f"Recommended on {found.name}: {chosen.variant} on {chosen.target}, batch {chosen.batch_size}: {why}"
