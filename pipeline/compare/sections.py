"""The sections that tell a comparison, for every format."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.sections.section import Align, Cell, Column, Line, Part, Section, Table, TableRow, grid, lines
from pipeline.results import numbers as show
from pipeline.results.comparison import Amount, Comparison, Drift, GateResult, RowChange
from pipeline.results.record import CLONE, PROBE
from pipeline.statistics.sessions import SESSION_SD

_HOW = (
    "Speed is how many times as fast a row has become, over what did not change; above 1 is faster. In brackets: "
    "intervals. Memory was taken once in each run."
)


def title(found: Comparison) -> str:
    """What was compared with what."""
    earlier = found.before[0].folder + (f" and {len(found.before) - 1} before it" if len(found.before) > 1 else "")
    return f"{found.after.folder} compared with {earlier}"


def sections_of(found: Comparison) -> list[Section]:
    """The sections in the order in which they are read; those with nothing to tell are left out."""
    made = [_gate(found.gate), _rows(found), _chains(found.rows), _drift(found.drift), _differences(found)]
    return [section for section in made if section is not None]


def _section(title: str, parts: Sequence[Part], notes: Sequence[str] = ()) -> Section:
    """A section that every format shows alike; the terminal has the notes last."""
    first, *rest = parts
    brief = [Part(title=title, lines=first.lines, tables=first.tables), *rest]
    return Section(
        title=title, notes=notes, parts=parts, brief=[*brief, Part(lines=lines(notes, "quiet"))] if notes else brief
    )


def _rows(found: Comparison) -> Section:
    columns = [Column(head=head, align=align) for head, align in _COLUMNS]
    shown = [row for row in found.rows if not _is_empty(row)]
    empty = ", ".join(row.key for row in found.rows if _is_empty(row))
    table = Table(columns=tuple(columns), rows=[TableRow(cells=_cells(row)) for row in shown])
    why = [f"{row.key}: {text}." for row in found.rows for text in (row.no_speed, row.no_accuracy) if text]
    said = lines([*(f"{note}." for note in found.notes), *why], "caution")
    said += lines([f"Measured in neither run: {empty}."] if empty else [], "quiet")
    return _section(
        "What changed", [Part(tables=[table] if shown else []), *([Part(lines=said)] if said else [])], [_HOW]
    )


def _is_empty(row: RowChange) -> bool:
    """Whether neither run measured a row, and its model has not changed."""
    same_size = row.size is None or row.size.before == row.size.after
    return "ok" not in (row.before, row.after) and row.before == row.after and same_size and not row.chain


_COLUMNS: tuple[tuple[str, Align], ...] = (
    ("row", "left"),
    ("accuracy", "left"),
    ("speed", "left"),
    ("p50 (ms)", "right"),
    ("size (MB)", "right"),
    ("memory (MB)", "right"),
)


def _cells(row: RowChange) -> tuple[Cell, ...]:
    name = f"{row.variant} on {row.target}, batch {row.batch_size}"
    return ((name, *_state(row)), _accuracy(row), _speed(row), _times(row), _amount(row.size), _amount(row.memory))


def _state(row: RowChange) -> Cell:
    if row.before is None:
        return ("new",)
    if row.after is None:
        return ("gone",)
    if row.before != row.after:
        return (f"{row.before} → {row.after}",)
    return ("the chain changed",) if row.chain else ()


def _accuracy(row: RowChange) -> Cell:
    change = row.accuracy
    if change is None:
        return ()
    value = f"{show.figure(change.after, change.unit)} {show.change(change.delta, change.unit)}"
    ends = show.change_interval(change.low, change.high, change.unit)
    return (value, change.verdict, ends if change.paired else f"{ends}, other examples")


def _speed(row: RowChange) -> Cell:
    change = row.speed
    if change is None:
        return ()
    against = () if change.anchor == "baseline" else ("over the fixed model",)
    return (show.ratio(change.value, change.low, change.high), change.verdict, *against)


def _times(row: RowChange) -> Cell:
    return () if row.speed is None else (f"{show.number(row.speed.before_ms)} → {show.number(row.speed.after_ms)}",)


def _amount(amount: Amount | None) -> Cell:
    if amount is None:
        return ()
    if amount.before == amount.after:
        return (show.megabytes(amount.after),)
    both = f"{show.megabytes(amount.before)} → {show.megabytes(amount.after)}"
    return (both, f"{show.signed(100 * amount.growth, 1)} %")


def _gate(gate: GateResult | None) -> Section | None:
    if gate is None:
        return None
    asked = [check for check in gate.checks if check.outcome != "KEPT"]
    kept = len(gate.checks) - len(asked)
    said = [
        Line(
            text=f"{check.row}, {check.judged}: {check.why}."
            + (f" To settle it: {check.settle}." if check.settle else ""),
            word=check.outcome,
            tone="bad" if check.outcome == "REGRESSION" else "caution",
        )
        for check in asked
    ]
    end = Line(text=f"{kept} of {len(gate.checks)} checks are within their limits.", tone="quiet")
    return _section(f"Gate: {gate.outcome}", [Part(lines=[*said, end])])


def _chains(rows: Sequence[RowChange]) -> Section | None:
    changed = {row.variant: row.chain for row in rows if row.chain}
    said = [Line(word=variant, text="; ".join(chain)) for variant, chain in changed.items()]
    return _section("Chains that changed", [Part(lines=said)]) if said else None


def _drift(drift: Sequence[Drift]) -> Section | None:
    if not drift:
        return None
    table = grid(
        ("model that did not change", "speed of the later run over the earlier's"),
        [(_model(key), f"{show.number(value, 3)}x") for one in drift for key, value in one.speed.items()],
    )
    said = [
        f"On {one.device} a ratio of two models is taken to move by {show.number(100 * one.session_sd, 2)} % from run "
        f"to run (standard deviation): {show.number(100 * SESSION_SD, 1)} % as believed, and {one.seen} "
        f"shift{'' if one.seen == 1 else 's'} seen in these runs. The intervals hold it."
        for one in drift
    ]
    return _section("The machine", [Part(tables=[table]), Part(lines=lines(said))])


def _model(key: str) -> str:
    if key.startswith(PROBE):
        return f"the fixed model, beside {key.removeprefix(PROBE)}"
    return f"the clone of {key.removeprefix(CLONE)}" if key.startswith(CLONE) else key


def _differences(found: Comparison) -> Section | None:
    if not found.differences:
        return None
    rows = [(one.name, one.before, one.after) for one in found.differences]
    return _section("Versions and settings that differ", [Part(tables=[grid(("", "before", "after"), rows, words=3)])])
