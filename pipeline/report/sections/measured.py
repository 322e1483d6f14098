"""How the run was measured: its checks, its settings, the machine, and the command that repeats it."""

from __future__ import annotations

from pipeline.libraries.revision import named
from pipeline.report import describe
from pipeline.report.sections.section import Facts, Part, Section, lines
from pipeline.results.report import Report


def measured(report: Report) -> Section:
    """The outcome of the run's own checks, then everything that was recorded of how it measured."""
    recorded = {
        "Machine and versions": report.machine,
        "Settings": report.measure,
        "Telemetry": report.noise.telemetry,
        "Constraints": report.constraints,
        "Targets": report.targets,
    }
    facts = [Facts(title=title, pairs=describe.facts(found)) for title, found in recorded.items() if found]
    origin = [f"Seed {report.seed}.", f"Created {report.created}."]
    if program := named(report.slimline):
        origin.append(f"{program}.")
    return Section(
        title="How it was measured",
        folded=True,
        parts=[
            Part(lines=lines(describe.measured_lines(report)), facts=facts),
            Part(title="Command", lines=lines([" ".join(origin)], "quiet"), code=report.command),
        ],
    )
