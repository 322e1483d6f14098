"""The measured rows with all of their fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pipeline.report import describe
from pipeline.report.field import Field, read
from pipeline.report.fields import PLACES, TARGET, header, used
from pipeline.report.rows import Group, Row, compared, groups
from pipeline.report.sections.section import Column, Line, Part, Section, Table, TableRow, lines
from pipeline.results.report import Report

TITLE = "Results"
_UNITS = "In brackets: 95 % intervals, the range that holds the true value in 95 of 100 runs."
_DROPPED_FIRST = ("throughput", "p99", "memory", "size")
_BESIDE_TARGETS = (*_DROPPED_FIRST, "p50")
"""Where the table names targets too, it needs more room."""


def results(report: Report) -> Section:
    """A table of all measured rows, the recommended one first; in the terminal one for each target and batch size."""
    rows = [row for group in groups(report) for row in group.rows]
    cautions = lines([*describe.busy_lines(report.noise), *describe.remark_lines(report)], "caution")
    if not rows:
        nothing = Part(lines=[*lines(["No row was measured."]), *cautions])
        return Section(title=TITLE, parts=[nothing], brief=[nothing])
    reference = describe.reference_line(rows)
    rows.sort(key=lambda row: not row.recommended)
    fields = used(rows, "page")
    same = _same(fields, rows)
    places = [field for field in PLACES if field in fields and field not in same and len(rows) > 1]
    kept = [field for field in fields if field not in (*same, *places)]
    return Section(
        title=TITLE,
        notes=[f"{reference} {_UNITS} {_said_once(same, rows)}".strip()],
        parts=[
            Part(tables=[_named_by(places, rows, _table(rows, kept, rows, "page"))]),
            Part(lines=[*cautions, *lines(describe.margin_lines(report))]),
        ],
        brief=_brief(compared(report), [*lines([reference] if reference else [], "quiet"), *cautions]),
    )


def _same(fields: Sequence[Field], rows: Sequence[Row]) -> list[Field]:
    """The fields that are no column, since every row has the same."""
    if len(rows) == 1:
        return []
    return [field for field in fields if not field.decides and len({field.cell(row) for row in rows}) == 1]


def _said_once(same: Sequence[Field], rows: Sequence[Row]) -> str:
    pairs = [f"{header(field, rows)} {', '.join(field.cell(rows[0]))}" for field in same]
    return f"The same in every row: {'; '.join(pairs)}." if pairs else ""


def _named_by(places: Sequence[Field], rows: Sequence[Row], table: Table) -> Table:
    """The table with each row's place, where rows differ in it, below its variant's name."""
    named = [
        replace(line, cells=((*line.cells[0], *(_place(field, row) for field in places)), *line.cells[1:]))
        for row, line in zip(rows, table.rows, strict=True)
    ]
    return replace(table, rows=named)


def _place(field: Field, row: Row) -> str:
    word = "on" if field is TARGET else field.title
    return f"{word} {' '.join(field.cell(row))}"


def _brief(shown: Sequence[Group], said: Sequence[Line]) -> list[Part]:
    every = [row for group in shown for row in group.rows]
    fields = used(every, "terminal")
    tables = [Part(title=group.title, tables=[_table(group.rows, fields, every, "terminal")]) for group in shown]
    return [*tables, Part(lines=said)]


def _table(
    rows: Sequence[Row], fields: Sequence[Field], every: Sequence[Row], where: Literal["terminal", "page"]
) -> Table:
    return Table(
        columns=tuple(_column(field, every) for field in fields),
        rows=[_row(row, fields, where) for row in rows],
        dropped_first=_BESIDE_TARGETS if any(row.beside_others for row in rows) else _DROPPED_FIRST,
    )


def _column(field: Field, rows: Sequence[Row]) -> Column:
    return Column(
        head=header(field, rows),
        align=field.align,
        optional=not field.decides,
        hint=field.hint,
    )


def _row(row: Row, fields: Sequence[Field], where: Literal["terminal", "page"]) -> TableRow:
    return TableRow(
        cells=tuple(field.cell(row, brief=where == "terminal") for field in fields),
        mark="recommended" if row.recommended else "",
        keys=tuple(read(row, next(iter(field.columns.values()))) for field in fields),
    )
