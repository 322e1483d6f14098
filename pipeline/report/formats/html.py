"""report.html: one file that opens offline, with everything in it.

The charts are SVG in the page. Its one script sorts tables, shows texts under the pointer, and opens what a link leads
to. The page's security policy names the script's digest, so nothing else runs, and nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline import PACKAGE
from pipeline.errors.contained import contained
from pipeline.report import describe
from pipeline.report.charts.figures import Drawing, Figure, draw
from pipeline.report.deployed import Deployed
from pipeline.report.headline import headline
from pipeline.report.looks import Look
from pipeline.report.map.drawn import drawn_map
from pipeline.report.map.words import milliseconds
from pipeline.report.sections import sections_of
from pipeline.report.sections.graph_map import TITLE as MAP
from pipeline.report.sections.results import TITLE as RESULTS
from pipeline.report.sections.section import Section
from pipeline.report.verdicts import TONES
from pipeline.results import numbers as show
from pipeline.results.report import Report
from pipeline.terminal.screen import printable

TEMPLATES = PACKAGE / "report" / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A section with its charts, as the page shows it."""

    section: Section
    figures: Sequence[Figure]
    slug: str
    """Its name in the page's links: ``step-by-step``."""


def html_text(
    report: Report,
    drawing: Drawing | None = None,
    bundle: Deployed | None = None,
    looks: Mapping[int, Look] = MappingProxyType({}),
) -> str:
    """The whole page, with charts that were drawn before, or that are drawn here, with the run's ``bundle`` if it has
    one, and with what test examples look like, as far as that is known. A section that fails says so itself."""
    drawing = draw(report) if drawing is None else drawing
    placed = _placed(sections_of(report), drawing.figures)
    first = [entry for entry in placed if entry.section.title == RESULTS]
    environment = environment_of(TEMPLATES)
    environment.globals.update(
        report=report,
        bundle=bundle,
        headline=headline,
        drawing=drawing,
        looks=looks,
        describe=describe,
        first=first,
        sections=[entry for entry in placed if entry not in first],
        piece=partial(_piece, environment),
        map_title=MAP,
        drawn_map=drawn_map,
        milliseconds=milliseconds,
    )
    script = _text("report.js")
    return environment.get_template("report.html.j2").render(
        style=style() + (_text("map.css") if report.maps else ""),
        columns=max((_columns(entry.section) for entry in placed), default=0),
        script=script,
        policy=security_policy(script),
    )


def _piece(environment: jinja2.Environment, name: str) -> Markup:
    """The markup of a template, or a paragraph that says why there is none."""
    return contained(
        f"the {name} of report.html",
        lambda: Markup(environment.get_template(f"{name}.html.j2").render()),
        lambda reason: Markup('<p class="bad">{}.</p>').format(printable(reason)),
    )


def security_policy(script: str) -> str:
    """The content security policy that lets only this script run, and nothing be loaded."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
    )


def style() -> str:
    """The style of every page."""
    return _text("report.css")


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def environment_of(*folders: Path) -> jinja2.Environment:
    """What fills in the templates of these folders, and shows the sections of any page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(tones=TONES, empty=show.NONE, looks={})
    return environment


def _harmless(value: Any) -> Any:
    """What a template writes: text without control characters; markup is made of such text."""
    return printable(value) if type(value) is str else value


def _placed(sections: Sequence[Section], figures: Sequence[Figure]) -> list[Placed]:
    """The sections that the page shows, each with its charts; those of a section that failed are last."""
    titles = {section.title for section in sections}
    lost = [figure for figure in figures if figure.section not in titles]
    entries = [(section, [figure for figure in figures if figure.section == section.title]) for section in sections]
    if lost:
        entries.append((Section(title="Charts"), lost))
    return [
        Placed(section=section, figures=found, slug=_slug(section.title))
        for section, found in entries
        if section.notes or section.parts or found
    ]


def _columns(section: Section) -> int:
    """The most columns that a table of the section has where some are shown only when they are chosen."""
    tables = (table for part in section.parts for table in part.tables)
    return max((len(table.columns) for table in tables if any(item.optional for item in table.columns)), default=0)


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
