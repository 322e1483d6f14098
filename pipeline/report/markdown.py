"""report.md: the report for a pull request or a wiki page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from pipeline import numbers as show
from pipeline.contained import contained
from pipeline.record import StageRecord
from pipeline.report import describe
from pipeline.report.fields import VARIANT, Field, header, used
from pipeline.report.rows import Row, groups, not_run
from pipeline.report.sections import explanations, factors, ladder, scenarios, steps
from pipeline.report.sections.limits import HEADINGS as LIMIT_HEADINGS
from pipeline.report.sections.limits import TITLE as LIMIT_TITLE
from pipeline.report.sections.limits import limit_lines, limit_notes
from pipeline.report.verdicts import meanings_in
from pipeline.results import Report, VariantResult
from pipeline.screen import printable

_SPECIAL = re.compile(r"([\\`*|~]|\](?=[(\[:])|(?<!\w)_|_(?!\w))")


def markdown_text(report: Report) -> str:
    """The whole report as GitHub-flavoured Markdown, ending with a line break. A section that fails says so itself."""
    parts = [part for title, make in _SECTIONS for part in _section(title, make, report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, make: Section, report: Report) -> list[str]:
    return contained(
        f"the section '{title}' of report.md",
        lambda: make(report),
        lambda reason: [f"## {title}", escape(f"{reason}.")],
    )


def _head(report: Report) -> list[str]:
    return [
        f"# {escape(report.model)} on {escape(report.data)}",
        escape(report.summary),
        "\n".join(f"- {escape(line)}" for line in describe.recommendation_lines(report)),
        f"Machine: {escape(describe.machine_line(report.machine))}.",
    ]


def escape(text: str) -> str:
    """Text that Markdown shows as it is, on one line and also inside a table's cell."""
    safe = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", safe)


def _model(report: Report) -> list[str]:
    lines = [f"- {escape(line)}" for line in describe.model_lines(report)]
    return ["## The model as it came in", "\n".join(lines)] if lines else []


def _results(report: Report) -> list[str]:
    rows = [row for group in groups(report) for row in group.rows]
    if not rows:
        return ["## Results", "No row was measured."]
    note = "In brackets: 95 % intervals. MB are millions of bytes."
    remarks = "\n".join(
        f"- {escape(line)}" for line in [*describe.busy_lines(report.noise), *describe.remark_lines(report)]
    )
    return [
        "## Results",
        _table(rows, used(rows, "page")),
        escape(f"{describe.reference_line(rows)} {note}".strip()),
        remarks,
    ]


def _factors(report: Report) -> list[str]:
    if report.factors is None:
        return []
    parts = [f"## {factors.TITLE}", *map(escape, factors.introduction(report.factors))]
    heads = factors.COLUMNS
    for axis in report.factors.axes:
        cells = factors.cells(axis)
        rows = [_line("<br>".join(map(escape, lines)) or show.NONE for lines in row) for row in cells]
        title, sentence = factors.axis_title(axis), factors.axis_sentence(axis)
        parts += [
            f"### {escape(title)}",
            escape(sentence),
            "\n".join([_line(heads), _line("---" for _ in heads), *rows]),
        ]
    return parts


def _table(rows: Sequence[Row], fields: Sequence[Field]) -> str:
    lines = [
        _line(escape(header(field, rows)) for field in fields),
        _line("---:" if field.align == "right" else "---" for field in fields),
        *[_line(_cell(field, row) for field in fields) for row in rows],
    ]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _grid(heads: Sequence[str], words: int, rows: Iterable[Sequence[str]]) -> str:
    """A table whose first columns are words, and the others figures."""
    ruler = ["---"] * words + ["---:"] * (len(heads) - words)
    return "\n".join([_line(map(escape, heads)), _line(ruler), *[_line(map(escape, row)) for row in rows]])


def _cell(field: Field, row: Row) -> str:
    text = "<br>".join(escape(line) for line in field.cell(row)) or show.NONE
    return f"**{text}** (recommended)" if field is VARIANT and row.recommended else text


def _scenarios(report: Report) -> list[str]:
    lines = scenarios.scenario_lines(report)
    if not lines:
        return []
    table = _grid(
        [*scenarios.LABELS, *scenarios.FIGURES],
        len(scenarios.LABELS),
        [[*line.labels, *line.figures] for line in lines],
    )
    notes = [f"- {escape(note)}" for note in scenarios.scenario_notes(report)]
    return [f"## {scenarios.TITLE}", table, "\n".join(notes)]


def _ladders(report: Report) -> list[str]:
    found = ladder.ladder_tables(report)
    if not found:
        return []
    parts = [f"## {ladder.TITLE}", escape(ladder.NOTE)]
    for entry in found:
        parts += [f"### {escape(entry.title)}", escape(entry.sentence), _grid(entry.heads, 0, entry.rows)]
    return parts


def _steps(report: Report) -> list[str]:
    found = steps.stepped(report)
    if not found:
        return []
    parts = [f"## {steps.TITLE}", escape(steps.NOTE)]
    for entry in found:
        parts += [f"### {escape(entry.title)}", _grid(steps.HEADINGS, steps.WORDS, entry.rows)]
    return parts


def _explanations(report: Report) -> list[str]:
    found = explanations.explained(report)
    if not found:
        return []
    parts = [f"## {explanations.TITLE}", escape(explanations.NOTE)]
    for entry in found:
        parts.append(f"### {escape(entry.title)}")
        parts.append("\n".join(f"- {escape(line)}" for line in entry.lines))
        parts += [_grid(heads, 1, rows) for heads, rows in entry.tables]
    return parts


def _limits(report: Report) -> list[str]:
    notes, lines = limit_notes(report), limit_lines(report)
    if not notes:
        return []
    table = [
        _line(title for title, _ in LIMIT_HEADINGS),
        _line("---:" if align == "right" else "---" for _, align in LIMIT_HEADINGS),
        *[_line(escape(cell) for cell in line) for line in lines],
    ]
    return [f"## {LIMIT_TITLE}", "\n".join(table) if lines else "", "\n".join(f"- {escape(note)}" for note in notes)]


def _not_run(report: Report) -> list[str]:
    lines = [f"- **{entry.status}** {escape(entry.explained)}" for entry in not_run(report)]
    return ["## Failed and skipped", "\n".join(lines) or "None."]


def _verdicts(report: Report) -> list[str]:
    rows = [row for group in groups(report) for row in group.rows]
    words = meanings_in(describe.verdict_words(rows))
    return ["## How to read the verdicts", "\n".join(f"- **{word}**: {escape(text)}." for word, text in words.items())]


def _measured(report: Report) -> list[str]:
    lines = [escape(line) for line in describe.measured_lines(report)]
    lines += [f"{escape(name)}: {escape(text)}" for name, text in describe.facts(report.measure)]
    lines += [f"constraint {escape(name)}: {escape(text)}" for name, text in describe.facts(report.constraints)]
    lines += [f"{escape(name)}: {escape(text)}" for name, text in describe.facts(report.machine)]
    lines += [f"seed: {report.seed}", f"created: {escape(report.created)}"]
    lines += [escape(made_by)] if (made_by := describe.made_by(report.slimline)) else []
    return ["## How it was measured", "\n".join(f"- {line}" for line in lines), _code(report.command)]


def _code(text: str) -> str:
    text = printable(text)
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _chains(report: Report) -> list[str]:
    return ["## Chains of stages", *map(_chain, report.variants)]


def _chain(variant: VariantResult) -> str:
    lines = [f"### {escape(variant.name)}", ""]
    if variant.status != "ok":
        lines += [f"{variant.status}: {escape(variant.reason or 'no reason was recorded')}", ""]
    for position, stage in enumerate(variant.stages, start=1):
        lines.append(f"{position}. {_stage(stage)}")
    if not variant.stages:
        lines.append("No stages: the model as it is.")
    for line in describe.digest_lines(variant):
        lines += ["", escape(line)]
    return "\n".join(lines)


def _stage(stage: StageRecord) -> str:
    how = "reused from the store" if stage.reused else f"built in {show.duration(stage.seconds)}"
    text = f"**{escape(stage.name)}** ({escape(stage.kind)}), {how}"
    for title, recorded in (("fields", stage.fields), ("notes", stage.notes)):
        pairs = [f"{escape(name)} {escape(value)}" for name, value in describe.facts(recorded)]
        if pairs:
            text += f"\n   - {title}: {'; '.join(pairs)}"
    return text


Section = Callable[[Report], list[str]]
_SECTIONS: Sequence[tuple[str, Section]] = (
    ("Summary", _head),
    ("Results", _results),
    (factors.TITLE, _factors),
    (ladder.TITLE, _ladders),
    (steps.TITLE, _steps),
    (explanations.TITLE, _explanations),
    (scenarios.TITLE, _scenarios),
    (LIMIT_TITLE, _limits),
    ("Failed and skipped", _not_run),
    ("How to read the verdicts", _verdicts),
    ("How it was measured", _measured),
    ("The model as it came in", _model),
    ("Chains of stages", _chains),
)
"""In order; each gives its parts, its heading first, or nothing."""
