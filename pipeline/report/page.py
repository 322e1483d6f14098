"""report.html: one file that opens offline, with everything in it.

Two scripts are in the page, the chart library and its use. The page's security policy names their digests, so nothing
else runs, and nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from typing import Any

import jinja2
from markupsafe import Markup

from pipeline import PACKAGE
from pipeline import numbers as show
from pipeline.contained import contained
from pipeline.record import StageRecord
from pipeline.report import describe
from pipeline.report.charts import Drawing, draw
from pipeline.report.fields import VARIANT, Field, header, read, used
from pipeline.report.plain import plain
from pipeline.report.rows import Row, groups, not_run
from pipeline.report.sections import explanations, factors, ladder, limits, scenarios, steps
from pipeline.report.verdicts import TONES, meanings_in
from pipeline.results import Report, VariantResult
from pipeline.screen import printable

_TEMPLATES = PACKAGE / "report" / "templates"


def html_text(report: Report, drawing: Drawing | None = None) -> str:
    """The whole page, with charts that were drawn before, or are drawn here. A section that fails says so itself."""
    drawing = draw(report) if drawing is None else drawing
    sorts = any(group.rows for group in groups(report))
    scripts = [drawing.library, (_TEMPLATES / "report.js").read_text(encoding="utf-8")]
    scripts = [script for script in scripts if script] if drawing.figures or sorts else []
    environment = _environment()
    environment.globals.update(
        report=report,
        drawing=drawing,
        describe=describe,
        scenarios=scenarios,
        ladder=ladder,
        limits=limits,
        explanations=explanations,
        steps=steps,
        tones=TONES,
        results_table=_results,
        factor_tables=_factors,
        not_run=not_run,
        meanings=_meanings,
        measured=describe.measured_lines,
        chains=_chains,
        section=partial(_section, environment),
    )
    return environment.get_template("report.html.j2").render(
        style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
        scripts=scripts,
        policy=security_policy(scripts),
        specs=[plain(panel.spec) for figure in drawing.figures for panel in figure.panels],
    )


def _section(environment: jinja2.Environment, name: str) -> Markup:
    """A section's markup, or a paragraph that says why there is none."""
    return contained(
        f"the section '{name}' of report.html",
        lambda: Markup(environment.get_template(f"{name}.html.j2").render()),
        lambda reason: Markup('<p class="bad">{}.</p>').format(printable(reason)),
    )


def security_policy(scripts: list[str]) -> str:
    """The content security policy that lets exactly these scripts run, and nothing be loaded."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"facts": describe.facts, "duration": show.duration, "megabytes": show.megabytes}
    environment.filters |= {"magnitude": show.magnitude, "digests": describe.digest_lines}
    return environment


def _harmless(value: Any) -> Any:
    """What a template writes: text without control characters; markup is made of such text."""
    return printable(value) if type(value) is str else value


def _results(report: Report) -> dict[str, Any]:
    rows = [row for group in groups(report) for row in group.rows]
    fields = used(rows, "page")
    return {
        "headers": [{"text": header(field, rows), "align": field.align} for field in fields],
        "rows": [_row(row, fields) for row in rows],
        "reference": describe.reference_line(rows),
    }


def _meanings(report: Report) -> dict[str, str]:
    rows = [row for group in groups(report) for row in group.rows]
    return meanings_in(describe.verdict_words(rows))


def _chains(report: Report) -> list[tuple[VariantResult, list[StageRecord]]]:
    return [(variant, variant.stages) for variant in report.variants]


def _factors(report: Report) -> dict[str, Any] | None:
    if report.factors is None:
        return None
    return {
        "title": factors.TITLE,
        "introduction": factors.introduction(report.factors),
        "columns": factors.COLUMNS,
        "axes": [
            {
                "title": factors.axis_title(axis),
                "sentence": factors.axis_sentence(axis),
                "rows": factors.cells(axis),
            }
            for axis in report.factors.axes
        ],
    }


def _row(row: Row, fields: list[Field]) -> dict[str, Any]:
    return {"recommended": row.recommended, "cells": [_cell(field, row) for field in fields]}


def _cell(field: Field, row: Row) -> dict[str, Any]:
    return {
        "lines": field.cell(row),
        "sort": read(row, next(iter(field.columns.values()))),
        "align": field.align,
        "head": field is VARIANT,
    }
