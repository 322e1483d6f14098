"""Compares runs on demand, and says by the exit code whether the gate lets the later one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from pipeline.compare.comparison import compare as compared
from pipeline.compare.earlier import keep_outcome, last_green
from pipeline.compare.junit import junit_text
from pipeline.compare.runs import Run
from pipeline.compare.write import print_comparison, write_comparison
from pipeline.errors import reporting_disk
from pipeline.folders.writing import write_whole
from pipeline.plan import GateRules
from pipeline.report.document import print_document, print_schema
from pipeline.report.formats.printing import tell
from pipeline.results.comparison import ABOUT, SCHEMA_VERSION, Comparison, Outcome

EXIT_CODES: Mapping[Outcome, int] = {"KEPT": 0, "REGRESSION": 1, "INCONCLUSIVE": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``compare`` was asked for."""

    after: Path
    before: Path | None
    """The earlier run; None: the last green ones of ``against``."""
    against: Path | None
    gate: bool
    junit: Path | None
    out: Path | None
    as_json: bool


def compare(options: Options, rules: GateRules, console: Console) -> int:
    """Compare, print and write; returns 0, or with a gate 1 for a regression and 3 where it is inconclusive.

    Raises UserError for folders that hold no runs, and for runs without a row in common.
    """
    after = Run.read(options.after)
    found = compared(_earlier(options, after, rules.earlier), after, rules, gate=options.gate)
    if options.as_json:
        print_document(found, console)
    else:
        print_comparison(found, console)
    _write(options, found, Console(stderr=True) if options.as_json else console)
    return 0 if found.gate is None else EXIT_CODES[found.gate.outcome]


def comparison_schema(console: Console) -> int:
    """Print the JSON Schema of comparison.json."""
    print_schema(Comparison, "comparison", SCHEMA_VERSION, ABOUT, console)
    return 0


def _earlier(options: Options, after: Run, most: int) -> list[Run]:
    if options.before is not None:
        return [Run.read(options.before)]
    assert options.against is not None
    return last_green(options.against, after, most)


def _write(options: Options, found: Comparison, console: Console) -> None:
    if options.out is not None:
        write_comparison(found, options.out)
        tell(console, f"Comparison: {options.out / 'comparison.html'}")
    if found.gate is None:
        return
    with reporting_disk(options.after):
        keep_outcome(options.after, found.gate)
    if options.junit is not None:
        with reporting_disk(options.junit):
            options.junit.parent.mkdir(parents=True, exist_ok=True)
            write_whole(options.junit, junit_text(found.gate))
