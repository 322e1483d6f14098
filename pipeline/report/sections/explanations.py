"""The section "Why isn't it faster?"."""

from __future__ import annotations

from pipeline.report.rows import Row, all_rows
from pipeline.report.sections.section import Part, Section, Table, grid, lines
from pipeline.report.verdicts import UNCONFIRMED
from pipeline.results import numbers as show
from pipeline.results.explanation import Cause, Explanation, NodeTime, Outcome
from pipeline.results.figures import Speedup
from pipeline.results.report import Report

TITLE = "Why isn't it faster?"
NOTE = (
    "From the runtime's own profile of the row and of the row that it is compared with, a mean call each. Profiled "
    "calls take longer than timed ones, so each profile's shares are told as parts of its row's median call. Where the "
    "other row ran on another runtime, its operators have other names and are not shown."
)
_SHOWN_OPERATORS = 8
_BRIEF_CAUSES = 2


def explanations(report: Report) -> Section | None:
    """The rows that have an explanation, in the report's order; the terminal has those that have a cause."""
    told = [(row, found) for row in all_rows(report) if (found := _explanation(row)) is not None]
    if not told:
        return None
    return Section(
        title=TITLE,
        notes=[NOTE],
        parts=[_part(row, found, _caution(report, row)) for row, found in told],
        brief=[Part(lines=lines(_brief(row, found) for row, found in told if found.causes))],
    )


def _part(row: Row, found: Explanation, caution: list[str]) -> Part:
    tables = _tables(found)
    where = [Part(title="Where the time goes", tables=tables, folded=True)] if tables else []
    return Part(title=_title(row), lines=lines([*_lines(found), *caution]), parts=where)


def _brief(row: Row, found: Explanation) -> str:
    causes = "; ".join(cause.what for cause in found.causes[:_BRIEF_CAUSES])
    change = next((text for cause in found.causes if (text := _change(cause))), "")
    return f"Why {_title(row)}? {_sentence(causes)}{change}"


def _explanation(row: Row) -> Explanation | None:
    return None if row.result is None else row.result.explanation


def _title(row: Row) -> str:
    """The title of a row, such as ``dynamic_int8 on ort_cpu, batch 1: SLOWER``."""
    result = row.result
    assert result is not None
    verdict = "" if result.speedup is None else f": {_verdict(result.speedup)}"
    return f"{row.variant.name} on {result.target}, batch {result.batch_size}{verdict}"


def _verdict(speedup: Speedup) -> str:
    rounds = speedup.rounds
    return f"{speedup.verdict} ({rounds} rounds)" if speedup.verdict in UNCONFIRMED and rounds else speedup.verdict


def _lines(found: Explanation) -> list[str]:
    causes = [_sentence(cause.what) + _change(cause) for cause in found.causes]
    if found.reason is not None:
        return [*causes, _sentence(f"where its time goes is not known: {found.reason}")]
    return causes or ["No single cause stands out; the tables say where the time goes."]


def _caution(report: Report, row: Row) -> list[str]:
    """What the operators of an accelerator's profile are, and what their times mean."""
    result = row.result
    if result is None or result.device == "cpu" or result.explanation is None or result.explanation.reason is not None:
        return []
    target = report.targets.get(result.target)
    if target is not None and target.backend == "torch":
        return ["The operators are the device's kernels and copies, by the time that each ran."]
    return [
        "An accelerator's operators are told by the time that the host takes to ask for them: their providers are "
        "certain, what each takes of the device is not."
    ]


def _change(cause: Cause) -> str:
    """What to try and what that brought; empty where nothing is proposed."""
    outcome = None if cause.outcome is None else _outcome(cause.outcome)
    if cause.change is None:
        return "" if outcome is None else f" {_sentence(outcome)}"
    return f" Try: {cause.change}" + ("" if outcome is None else f" ({outcome})")


def _outcome(found: Outcome) -> str:
    """The outcome of a change, such as ``tried: 1.02x [1.00, 1.04] of the speed of baseline``."""
    where = "tried:" if found.variant is None else f"in this run {found.variant} has"
    if found.value is None or found.low is None:
        return f"{where} {found.reason}"
    return f"{where} {show.ratio(found.value, found.low, found.high)} of the speed of {found.against}"


def _tables(found: Explanation) -> list[Table]:
    if found.reason is not None:
        return []
    return [_operators(found), *([_nodes(found)] if found.nodes else [])]


def _operators(found: Explanation) -> Table:
    rows: list[tuple[str, ...]] = [
        (entry.op, str(entry.nodes), *_times(entry.ms, entry.reference_ms))
        for entry in found.operators[:_SHOWN_OPERATORS]
    ]
    rest = found.operators[_SHOWN_OPERATORS:]
    if rest:
        others = [entry.reference_ms for entry in rest if entry.reference_ms is not None]
        own, other = sum(entry.ms for entry in rest), sum(others) if others else None
        rows.append((f"{len(rest)} other types", str(sum(entry.nodes for entry in rest)), *_times(own, other)))
    rows.append(("beside the operators", "", *_times(found.between_ms, found.reference_between_ms)))
    return grid(("operators by type", "nodes", "ms", "reference (ms)", "difference (ms)"), rows)


def _nodes(found: Explanation) -> Table:
    rows: list[tuple[str, ...]] = [
        (
            _node(node),
            show.number(node.ms, 3),
            show.NONE if node.reference_ms is None else show.number(node.reference_ms, 3),
        )
        for node in found.nodes
    ]
    return grid(("the operators that lost most", "ms", "reference (ms)"), rows)


def _node(node: NodeTime) -> str:
    """Its type, its name (PyTorch's begins with its type), and what carried it out."""
    name = node.name if node.name.startswith(node.op) else f"{node.op} {node.name}"
    return f"{name} ({node.kernel})" if node.kernel else name


def _times(own: float, other: float | None) -> tuple[str, str, str]:
    if other is None:
        return show.number(own, 3), show.NONE, show.NONE
    return show.number(own, 3), show.number(other, 3), show.signed(own - other, 3)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
