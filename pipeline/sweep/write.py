"""Writes a sweep's report: on the terminal, and as sweep.json, sweep.csv, sweep.md and sweep.html."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import quote

from rich.console import Console

from pipeline import PACKAGE
from pipeline.errors import reporting_disk
from pipeline.errors.contained import Faults
from pipeline.folders.writing import write_whole
from pipeline.report.charts.figures import Drawing
from pipeline.report.formats.json import json_text
from pipeline.report.formats.markdown import escape, joined, section_blocks
from pipeline.report.formats.printing import say, tell
from pipeline.report.formats.terminal_sections import print_sections
from pipeline.results.sweep import Sweep
from pipeline.sweep.csv import csv_text
from pipeline.sweep.sections import JOBS, sections_of, title

NAME = "sweep"
_SHOWN = 3
"""So many commands are printed; the files have all."""


def print_sweep(found: Sweep, console: Console) -> None:
    """Print the jobs, the chains and what is left to do."""
    say(console, title(found), style="bold")
    if found.machines:
        say(console, "; ".join(found.machines), style="dim")
    print_sections(sections_of(found), console)
    console.print()
    say(console, found.summary, style="bold")
    left = [job for job in found.jobs if job.status not in ("ok", "running")]
    for job in left[:_SHOWN]:
        tell(console, f"To run job {job.name} again: {job.repeat}", style="dim")
    if len(left) > _SHOWN:
        say(console, f"{NAME}.md has the commands of the other {len(left) - _SHOWN}.", style="dim")


def markdown_text(found: Sweep) -> str:
    """The sweep as GitHub-flavoured Markdown."""
    machines = f"Machine: {'; '.join(found.machines)}." if found.machines else ""
    head = [f"# {escape(title(found))}", escape(found.summary), escape(machines)]
    return joined([*head, *section_blocks(sections_of(found))])


def html_text(found: Sweep, drawing: Drawing) -> str:
    """The sweep as one page that opens offline, in the form of a run's report."""
    # Here, not above: jinja2 takes a while to import, and only the page needs it.
    from pipeline.report.formats.html import TEMPLATES, environment_of, security_policy, style

    template = environment_of(PACKAGE / "sweep" / "templates", TEMPLATES).get_template(f"{NAME}.html.j2")
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return template.render(
        title=title(found),
        found=found,
        first=JOBS,
        sections=sections_of(found),
        drawing=drawing,
        reports=[(job.name, quote(f"{job.name}/report.html")) for job in found.jobs if job.status == "ok"],
        style=style(),
        script=script,
        policy=security_policy(script),
    )


def write_sweep(found: Sweep, folder: Path) -> list[str]:
    """Write the four files into the sweep's folder; returns a sentence for each that could not be made. Raises
    OutOfSpace where the disk is full."""
    # Here, not above: the chart libraries take a second to import.
    from pipeline.sweep.chart import draw_apart

    formats: Mapping[str, Callable[[Sweep], str]] = {
        f"{NAME}.json": json_text,
        f"{NAME}.csv": csv_text,
        f"{NAME}.md": markdown_text,
        f"{NAME}.html": lambda found: html_text(found, draw_apart(found)),
    }
    faults = Faults()
    for name, text in formats.items():
        faults.contain(name, partial(_write, folder / name, text, found), None)
    return faults.sentences


def _write(path: Path, text: Callable[[Sweep], str], found: Sweep) -> None:
    content = text(found)
    with reporting_disk(path):
        write_whole(path, content)
