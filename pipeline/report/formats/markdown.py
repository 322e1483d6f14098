"""report.md: the report for a pull request or a wiki page.

The table that decides comes first, with a chart that GitHub draws; the other sections are folded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from pipeline.errors.contained import contained
from pipeline.report import describe
from pipeline.report.formats.mermaid import speedup_chart
from pipeline.report.sections import sections_of
from pipeline.report.sections.results import TITLE as RESULTS
from pipeline.report.sections.section import Cell, Facts, Line, Part, Section, Table, TableRow
from pipeline.results import numbers as show
from pipeline.results.report import Report
from pipeline.terminal.screen import printable

_SPECIAL = re.compile(r"([\\`*|~]|\](?=[(\[:])|(?<!\w)_|_(?!\w))")


def markdown_text(report: Report) -> str:
    """The whole report as GitHub-flavoured Markdown, ending with a line break. A section that fails says so itself."""
    blocks = contained("the summary", partial(_head, report), lambda reason: [escape(f"{reason}.")])
    for section in sections_of(report):
        if section.title == RESULTS:
            blocks += [*_section(section), speedup_chart(report)]
        else:
            blocks += _folded(escape(section.title), _blocks(section))
    return joined(blocks)


def section_blocks(sections: Iterable[Section]) -> list[str]:
    """The blocks of these sections."""
    return [block for section in sections for block in _section(section)]


def joined(blocks: Iterable[str]) -> str:
    """The text of these blocks, ending with a line break."""
    return "\n\n".join(block for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line and also inside a table's cell."""
    safe = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", safe)


def _head(report: Report) -> list[str]:
    return [
        f"# {escape(report.model)} on {escape(report.data)}",
        escape(report.summary),
        _list(escape(line) for line in describe.recommendation_lines(report)),
        f"Machine: {escape(describe.machine_line(report.machine))}.",
    ]


def _section(section: Section) -> list[str]:
    blocks = _blocks(section)
    return [f"## {escape(section.title)}", *blocks] if blocks else []


def _blocks(section: Section) -> list[str]:
    return [*map(escape, section.notes), *_parts(section.parts, 3)]


def _folded(title: str, blocks: Sequence[str]) -> list[str]:
    """Blocks behind a title that GitHub opens on a click: its Markdown needs the empty lines around them."""
    return [f"<details><summary>{title}</summary>", *blocks, "</details>"] if blocks else []


def _parts(parts: Iterable[Part], level: int) -> list[str]:
    return [block for part in parts for block in _part(part, level) if block]


def _part(part: Part, level: int) -> list[str]:
    return [
        f"{'#' * level} {escape(part.title)}" if part.title else "",
        _lines(part.lines),
        *[_facts(facts) if level == 3 else _facts_in_a_line(facts) for facts in part.facts],
        *[block for table in part.tables for block in _tables(table)],
        _code(part.code) if part.code else "",
        *_parts(part.parts, level + 1),
    ]


def _lines(lines: Sequence[Line]) -> str:
    texts = [f"**{escape(line.word)}** {escape(line.text)}" if line.word else escape(line.text) for line in lines]
    return _list(texts) if len(texts) > 1 else "".join(texts)


def _facts(facts: Facts) -> str:
    pairs = _list(f"**{escape(name)}**: {escape(text)}" for name, text in facts.pairs)
    return f"{escape(facts.title)}:\n\n{pairs}" if facts.title else pairs


def _facts_in_a_line(facts: Facts) -> str:
    pairs = "; ".join(f"{escape(name)} {escape(text)}" for name, text in facts.pairs)
    return f"{escape(facts.title)}: {pairs}" if facts.title else pairs


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {text}" for text in texts)


def _tables(table: Table) -> list[str]:
    """The table; where columns are optional, the others, and then all of them behind a title."""
    if not any(column.optional for column in table.columns):
        return [_table(table)]
    kept = [place for place, column in enumerate(table.columns) if not column.optional]
    rows = [replace(row, cells=tuple(row.cells[place] for place in kept)) for row in table.rows]
    short = replace(table, columns=tuple(table.columns[place] for place in kept), rows=rows)
    hints = _list(f"{escape(column.title)}: {escape(column.hint)}" for column in table.columns if column.hint)
    return [_table(short), *_folded("All columns", [_table(table), hints])]


def _table(table: Table) -> str:
    heads = _line(escape(column.head) for column in table.columns)
    ruler = _line("---:" if column.align == "right" else "---" for column in table.columns)
    return "\n".join([heads, ruler, *map(_row, table.rows)])


def _row(row: TableRow) -> str:
    name, *others = map(_cell, row.cells)
    return _line([f"**{name}** ({escape(row.mark)})" if row.mark else name, *others])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    return "<br>".join(map(escape, cell)) or show.NONE


def _code(text: str) -> str:
    text = printable(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
