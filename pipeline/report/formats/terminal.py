"""Prints the end of a run on the terminal: the table, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from rich.console import Console

from pipeline.errors.contained import contained
from pipeline.libraries.revision import named
from pipeline.report import describe
from pipeline.report.formats.printing import say
from pipeline.report.formats.terminal_front import print_front
from pipeline.report.formats.terminal_sections import print_sections
from pipeline.report.sections import sections_of
from pipeline.results.report import Report


def print_report(report: Report, console: Console) -> None:
    """Print what each section has for the terminal, and a plot, between the heading and the recommendation.

    A part that fails says so itself.
    """
    for name, part in _PARTS.items():
        contained(name, partial(part, report, console), partial(_say_fault, console))


def _say_fault(console: Console, reason: str) -> None:
    say(console, f"{reason}.", style="red")


def _print_head(report: Report, console: Console) -> None:
    say(console, f"{report.model} on {report.data}", style="bold")
    machine = [describe.machine_line(report.machine), named(report.slimline)]
    say(console, ", ".join(filter(None, machine)), style="dim")
    for line in describe.model_warnings(report):
        say(console, line, style="yellow")


def _print_sections(report: Report, console: Console) -> None:
    print_sections(sections_of(report), console)
    console.print()


def _print_outcome(report: Report, console: Console) -> None:
    for position, line in enumerate(describe.recommendation_lines(report)):
        say(console, line, style="" if position else "bold")
    for line in describe.noise_lines(report.noise):
        say(console, line, style="yellow" if report.noise.noisy else "dim")
    for line in describe.margin_lines(report):
        say(console, line, style="dim")
    for line in describe.fault_lines(report):
        say(console, line, style="red")
    console.print()


_PARTS: Mapping[str, Callable[[Report, Console], None]] = {
    "the heading": _print_head,
    "the sections": _print_sections,
    "the plot": print_front,
    "the recommendation": _print_outcome,
}
