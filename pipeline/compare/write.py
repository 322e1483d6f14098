"""Writes a comparison: on the terminal, and as comparison.json, comparison.md and comparison.html."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from pipeline import PACKAGE
from pipeline.compare.sections import sections_of, title
from pipeline.errors import reporting_disk
from pipeline.folders.writing import write_whole
from pipeline.report.formats.json import json_text
from pipeline.report.formats.markdown import escape, joined, section_blocks
from pipeline.report.formats.printing import say
from pipeline.report.formats.terminal_sections import print_sections
from pipeline.results.comparison import Comparison

NAME = "comparison"


def print_comparison(found: Comparison, console: Console) -> None:
    """Print what changed."""
    say(console, title(found), style="bold")
    say(console, f"{found.after.model} on {found.after.data}", style="dim")
    print_sections(sections_of(found), console)
    console.print()


def markdown_text(found: Comparison) -> str:
    """The comparison as GitHub-flavoured Markdown."""
    about = f"{found.before[0].created} → {found.after.created}, {found.after.model} on {found.after.data}"
    return joined([f"# {escape(title(found))}", escape(about), *section_blocks(sections_of(found))])


def html_text(found: Comparison) -> str:
    """The comparison as one page that opens offline, in the report's form and without scripts."""
    # Here, not above: jinja2 takes a while to import, and only the page needs it.
    from pipeline.report.formats.html import TEMPLATES, environment_of, style

    template = environment_of(PACKAGE / "compare" / "templates", TEMPLATES).get_template(f"{NAME}.html.j2")
    return template.render(title=title(found), found=found, sections=sections_of(found), style=style()) + "\n"


FORMATS: Mapping[str, Callable[[Comparison], str]] = {
    f"{NAME}.json": json_text,
    f"{NAME}.md": markdown_text,
    f"{NAME}.html": html_text,
}


def write_comparison(found: Comparison, folder: Path) -> None:
    """Write the three files into a folder, which is made where missing; raises SlimlineError where it can't be."""
    with reporting_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in FORMATS.items():
            write_whole(folder / name, text(found))
