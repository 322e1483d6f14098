"""The measured rows with all of their fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pipeline.report import describe
from pipeline.report.field import Field, read
from pipeline.report.fields import header, used
from pipeline.report.rows import Group, Row, compared, groups
from pipeline.report.sections.section import Column, Line, Part, Section, Table, TableRow, lines
from pipeline.results.report import Report

TITLE = "Results"
_UNITS = "In brackets: 95 % intervals. MB are millions of bytes."
_DROPPED_FIRST = ("throughput", "p99", "memory", "size")
_BESIDE_TARGETS = (*_DROPPED_FIRST, "p50")
"""Where the table names targets too, it needs more room."""


def results(report: Report) -> Section:
    """A table of all measured rows; in the terminal one for each target and batch size."""
    rows = [row for group in groups(report) for row in group.rows]
    cautions = lines([*describe.busy_lines(report.noise), *describe.remark_lines(report)], "caution")
    if not rows:
        nothing = Part(lines=[*lines(["No row was measured."]), *cautions])
        return Section(title=TITLE, parts=[nothing], brief=[nothing])
    reference = describe.reference_line(rows)
    return Section(
        title=TITLE,
        notes=[f"{reference} {_UNITS}".strip()],
        parts=[
            Part(tables=[_table(rows, used(rows, "page"), rows, "page")]),
            Part(lines=[*cautions, *lines(describe.margin_lines(report))]),
        ],
        brief=_brief(compared(report), [*lines([reference] if reference else [], "quiet"), *cautions]),
    )


def _brief(shown: Sequence[Group], said: Sequence[Line]) -> list[Part]:
    every = [row for group in shown for row in group.rows]
    fields = used(every, "terminal")
    tables = [Part(title=group.title, tables=[_table(group.rows, fields, every, "terminal")]) for group in shown]
    return [*tables, Part(lines=said)]


def _table(
    rows: Sequence[Row], fields: Sequence[Field], every: Sequence[Row], where: Literal["terminal", "page"]
) -> Table:
    return Table(
        columns=tuple(Column(head=header(field, every), align=field.align) for field in fields),
        rows=[_row(row, fields, where) for row in rows],
        dropped_first=_BESIDE_TARGETS if any(row.beside_others for row in rows) else _DROPPED_FIRST,
    )


def _row(row: Row, fields: Sequence[Field], where: Literal["terminal", "page"]) -> TableRow:
    return TableRow(
        cells=tuple(field.cell(row, brief=where == "terminal") for field in fields),
        mark="recommended" if row.recommended else "",
        keys=tuple(read(row, next(iter(field.columns.values()))) for field in fields),
    )
