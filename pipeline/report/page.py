"""report.html: one file that opens offline, with everything in it.

Two scripts are in the page, the chart library and its use. The page's security policy names their digests, so nothing
else runs, and nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from pipeline.record import StageRecord
from pipeline.report import describe, explanations, factor_table, ladder, limits, scenarios, steps
from pipeline.report import numbers as show
from pipeline.report.charts import figures
from pipeline.report.fields import VARIANT, Field, header, read, used
from pipeline.report.plain import plain
from pipeline.report.rows import Row, not_run, sections
from pipeline.report.verdicts import TONES, meanings_in
from pipeline.results import Report

_TEMPLATES = Path(__file__).parent / "templates"


def html_text(report: Report) -> str:
    """The whole page."""
    rows = [row for section in sections(report) for row in section.rows]
    fields = used(rows, "page")
    drawn = figures(report)
    scripts = [chart_library(), (_TEMPLATES / "report.js").read_text(encoding="utf-8")] if drawn or rows else []
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            style=(_TEMPLATES / "report.css").read_text(encoding="utf-8"),
            scripts=scripts,
            policy=security_policy(scripts),
            figures=drawn,
            specs=[plain(panel.spec) for figure in drawn for panel in figure.panels],
            table={
                "headers": [{"text": header(field, rows), "align": field.align} for field in fields],
                "rows": [_row(row, fields) for row in rows],
            },
            factors=_factors(report),
            not_run=not_run(report),
            chains=[(variant, [StageRecord(**stage) for stage in variant.stages]) for variant in report.variants],
            reference=describe.reference_line(rows),
            recommended=describe.recommendation_lines(report),
            noise=describe.noise_lines(report.noise),
            remarks=describe.remark_lines(report),
            made_by=describe.made_by(report.slimline),
            counted=[*describe.energy_lines(report), *describe.device_lines(report)],
            scenarios=scenarios,
            ladder=ladder,
            limits=limits,
            explanations=explanations,
            steps=steps,
            machine_line=describe.machine_line(report.machine),
            model_lines=describe.model_lines(report),
            meanings=meanings_in(describe.verdict_words(rows)),
            tones=TONES,
        )
    )


@cache
def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that needs nothing else."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;")
    return bundle


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
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"facts": describe.facts, "duration": show.duration, "megabytes": show.megabytes}
    environment.filters |= {"magnitude": show.magnitude, "digests": describe.digest_lines}
    return environment


def _factors(report: Report) -> dict[str, Any] | None:
    if report.factors is None:
        return None
    return {
        "title": factor_table.TITLE,
        "introduction": factor_table.introduction(report.factors),
        "columns": factor_table.COLUMNS,
        "axes": [
            {
                "title": factor_table.axis_title(axis),
                "sentence": factor_table.axis_sentence(axis),
                "rows": factor_table.cells(axis),
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
