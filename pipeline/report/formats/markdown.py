"""report.md: the report for a pull request or a wiki page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial

from pipeline.errors.contained import contained
from pipeline.report import describe
from pipeline.report.sections import sections_of
from pipeline.report.sections.section import Cell, Facts, Line, Part, Section, Table, TableRow
from pipeline.results import numbers as show
from pipeline.results.report import Report
from pipeline.terminal.screen import printable

_SPECIAL = re.compile(r"([\\`*|~]|\](?=[(\[:])|(?<!\w)_|_(?!\w))")


def markdown_text(report: Report) -> str:
    """The whole report as GitHub-flavoured Markdown, ending with a line break. A section that fails says so itself."""
    blocks = contained("the summary", partial(_head, report), lambda reason: [escape(f"{reason}.")])
    return joined([*blocks, *section_blocks(sections_of(report))])


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
    blocks = [*map(escape, section.notes), *_parts(section.parts, 3)]
    return [f"## {escape(section.title)}", *blocks] if blocks else []


def _parts(parts: Iterable[Part], level: int) -> list[str]:
    return [block for part in parts for block in _part(part, level) if block]


def _part(part: Part, level: int) -> list[str]:
    return [
        f"{'#' * level} {escape(part.title)}" if part.title else "",
        _lines(part.lines),
        *[_facts(facts) if level == 3 else _facts_in_a_line(facts) for facts in part.facts],
        *map(_table, part.tables),
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
