"""The table that a run ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline import numbers as show
from pipeline.contained import contained
from pipeline.report import describe
from pipeline.report.factor_terminal import factor_parts
from pipeline.report.fields import VARIANT, Field, header, used
from pipeline.report.printing import STYLES, ascii_only, encodable, say
from pipeline.report.rows import Row, compared, groups, left_out, not_run
from pipeline.report.sections import explanations, ladder, steps
from pipeline.report.terminal_scenarios import print_scenarios
from pipeline.report.verdicts import TONES
from pipeline.results import Report

_DROPPED_FIRST = ("throughput", "p99", "memory", "size")
"""The columns that a narrow terminal does without; the files have them."""
_GAP = 2
_NARROWEST_NAME = 12
_WIDEST_NAME = 32


def print_report(report: Report, console: Console) -> None:
    """Print the rows by target and batch size, what was not measured and why, and what follows from it.

    Columns that do not fit the console's width are left out, never wrapped; only variants' names wrap. A part that
    fails says so itself.
    """
    for name, part in _PARTS.items():
        contained(name, partial(part, report, console), partial(_say_fault, console))


def _say_fault(console: Console, reason: str) -> None:
    say(console, f"{reason}.", style="red")


def _print_head(report: Report, console: Console) -> None:
    say(console, f"{report.model} on {report.data}", style="bold")
    machine = [describe.machine_line(report.machine), describe.made_by(report.slimline)]
    say(console, ", ".join(filter(None, machine)), style="dim")
    for line in describe.model_warnings(report):
        say(console, line, style="yellow")


def _print_rows(report: Report, console: Console) -> None:
    shown = compared(report)
    rows = [row for group in shown for row in group.rows]
    fields = fitting(rows, console.width)
    for group in shown:
        console.print()
        say(console, group.title, style="bold")
        console.print(_table(group.rows, rows, fields, ascii_only(console)))
    console.print()
    if not groups(report):
        say(console, "No row was measured.")
    elif reference := describe.reference_line(rows):
        say(console, reference, style="dim")
    for line in [*describe.busy_lines(report.noise), *describe.remark_lines(report)]:
        say(console, line, style="yellow")


def _print_not_run(report: Report, console: Console) -> None:
    for entry in (entry for entry in not_run(report) if entry.asked or entry.status == "failed"):
        say(console, f"{entry.status} {entry.explained}", style="red" if entry.status == "failed" else "")
    if by_default := left_out(report):
        say(console, by_default, style="dim")
    console.print()


def _print_factors(report: Report, console: Console) -> None:
    if report.factors is None:
        return
    for part in factor_parts(report.factors, lambda text: encodable(text, ascii_only(console))):
        console.print(part)
    console.print()


def _print_details(report: Report, console: Console) -> None:
    for line in [*ladder.brief(report), *steps.brief(report), *explanations.brief(report)]:
        say(console, line)


def _print_outcome(report: Report, console: Console) -> None:
    for position, line in enumerate(describe.recommendation_lines(report)):
        say(console, line, style="" if position else "bold")
    for line in describe.noise_lines(report.noise):
        say(console, line, style="yellow" if report.noise.noisy else "dim")
    for line in describe.margin_lines(report):
        say(console, line, style="dim")
    for line in describe.fault_lines(report):
        say(console, line, style="red")
    console.print()


_PARTS: Mapping[str, Callable[[Report, Console], None]] = {
    "the heading": _print_head,
    "the table": _print_rows,
    "the list of what was not measured": _print_not_run,
    "the part about the four factors": _print_factors,
    "the part about scenarios": print_scenarios,
    "the part about steps and explanations": _print_details,
    "the recommendation": _print_outcome,
}


def fitting(rows: Sequence[Row], width: int) -> list[Field]:
    """The terminal's fields, less the ones that do not fit the width, the least important first."""
    fields = used(rows, "terminal")
    for title in _DROPPED_FIRST:
        if _least_width(fields, rows) <= width:
            break
        fields = [field for field in fields if field.title != title]
    return fields


def _least_width(fields: Sequence[Field], rows: Sequence[Row]) -> int:
    widths = [min(_width(field, rows), _NARROWEST_NAME if field is VARIANT else 999) for field in fields]
    return sum(widths) + _GAP * (len(widths) - 1)


def _width(field: Field, rows: Sequence[Row]) -> int:
    """The characters of a field's longest line over all sections, so that their columns stand below each other."""
    lines = [line for row in rows for line in _cell_lines(field, row)]
    return max(len(line) for line in [*header(field, rows).split(" ("), *lines])


def _cell_lines(field: Field, row: Row) -> tuple[str, ...]:
    lines = field.cell(row, brief=True) or (show.NONE,)
    return (*lines, "recommended") if field is VARIANT and row.recommended else lines


def _table(rows: Sequence[Row], every: Sequence[Row], fields: Sequence[Field], in_ascii: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    for field in fields:
        name = field is VARIANT
        width = _width(field, every)
        table.add_column(
            Text(header(field, every).replace(" (", "\n(")),
            justify=field.align,
            overflow="fold",
            no_wrap=not name,
            min_width=min(width, _NARROWEST_NAME) if name else width,
            max_width=_WIDEST_NAME if name else width,
            width=None if name else width,
        )
    for row in rows:
        table.add_row(*[_cell(field, row, in_ascii) for field in fields])
    return table


def _cell(field: Field, row: Row, in_ascii: bool) -> Text:
    text = Text()
    for position, line in enumerate(_cell_lines(field, row)):
        text.append("\n" if position else "")
        text.append(encodable(line, in_ascii), style=_line_style(field, position, line))
    return text


def _line_style(field: Field, position: int, line: str) -> str:
    if line in TONES and field is not VARIANT:
        return STYLES[TONES[line]]
    if field is VARIANT:
        return "bold" if position == 0 else "green"
    return "dim" if position else ""
