"""report.html: one file that opens offline, with everything in it.

The page has two scripts: the chart library, and the script that uses it. The page's security policy names their
digests, so nothing else runs, and nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline import PACKAGE
from pipeline.errors.contained import contained
from pipeline.report import describe
from pipeline.report.charts.figures import Drawing, Figure, draw
from pipeline.report.formats.json import plain
from pipeline.report.sections import sections_of
from pipeline.report.sections.section import Part, Section
from pipeline.report.verdicts import TONES
from pipeline.results import numbers as show
from pipeline.results.report import Report
from pipeline.terminal.screen import printable

_TEMPLATES = PACKAGE / "report" / "templates"


def html_text(report: Report, drawing: Drawing | None = None) -> str:
    """The whole page, with charts that were drawn before, or that are drawn here. A section that fails says so
    itself."""
    drawing = draw(report) if drawing is None else drawing
    placed = _placed(sections_of(report), drawing.figures)
    sorts = any(_sorts(part) for section, _ in placed for part in section.parts)
    scripts = [drawing.library, (_TEMPLATES / "report.js").read_text(encoding="utf-8")]
    scripts = [script for script in scripts if script] if drawing.figures or sorts else []
    environment = _environment()
    environment.globals.update(
        report=report,
        drawing=drawing,
        describe=describe,
        sections=placed,
        tones=TONES,
        empty=show.NONE,
        slug=_slug,
        piece=partial(_piece, environment),
    )
    return environment.get_template("report.html.j2").render(
        style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
        scripts=scripts,
        policy=security_policy(scripts),
        specs=[plain(panel.spec) for _, figures in placed for figure in figures for panel in figure.panels],
    )


def _piece(environment: jinja2.Environment, name: str) -> Markup:
    """The markup of a template, or a paragraph that says why there is none."""
    return contained(
        f"the {name} of report.html",
        lambda: Markup(environment.get_template(f"{name}.html.j2").render()),
        lambda reason: Markup('<p class="bad">{}.</p>').format(printable(reason)),
    )


def security_policy(scripts: list[str]) -> str:
    """The content security policy that lets only these scripts run, and nothing be loaded."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _harmless(value: Any) -> Any:
    """What a template writes: text without control characters; markup is made of such text."""
    return printable(value) if type(value) is str else value


def _placed(sections: Sequence[Section], figures: Sequence[Figure]) -> list[tuple[Section, list[Figure]]]:
    """The sections that the page shows, each with its charts; those of a section that failed are last."""
    titles = {section.title for section in sections}
    placed = [(section, [figure for figure in figures if figure.section == section.title]) for section in sections]
    lost = [figure for figure in figures if figure.section not in titles]
    rest = [(Section(title="Charts"), lost)] if lost else []
    return [entry for entry in [*placed, *rest] if entry[0].notes or entry[0].parts or entry[1]]


def _sorts(part: Part) -> bool:
    """Whether a reader can sort one of its tables."""
    return any(row.keys for table in part.tables for row in table.rows)


def _slug(title: str) -> str:
    """A title as the page's links name it: ``step-by-step``."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
