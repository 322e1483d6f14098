"""Compares a run with earlier ones, row by row. Pure: the same records give the same comparison.

The rows of each node that a run has measured on are compared with those of the same node, as a run of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.compare.accuracy import Accuracies, accuracy_change
from pipeline.compare.anchors import is_anchor
from pipeline.compare.differences import chain_changes, changed_libraries, differences, same_machine
from pipeline.compare.gate import judged, worst
from pipeline.compare.runs import Run
from pipeline.compare.speed import Speeds, speeds
from pipeline.errors import UserError
from pipeline.plan import GateRules
from pipeline.results.comparison import Amount, Comparison, GateResult, RowChange
from pipeline.results.record import UNFINISHED
from pipeline.results.report import at

_MARGIN = 0.01
"""The drop that verdicts are about where no rule names another."""


def compare(before: Sequence[Run], after: Run, rules: GateRules, *, gate: bool) -> Comparison:
    """What changed from the earlier runs, the latest first, to ``after``; with ``gate``, judged by the rules.

    Raises UserError where the runs have no row in common.
    """
    _require_common(before[0], after)
    nodes = dict.fromkeys([*before[0].nodes, *after.nodes])
    found = _of_machine(before, after, rules, 1 + len(nodes), gate=gate)
    for name in nodes:
        earlier = [run.nodes[name] for run in before if name in run.nodes]
        later = after.nodes.get(name) or _without_rows(earlier[0])
        there = _of_machine(earlier or [_without_rows(later)], later, rules, 1 + len(nodes), gate=gate, name=name)
        found = _joined(found, there, name)
    return found


def _of_machine(
    before: Sequence[Run], after: Run, rules: GateRules, machines: int, *, gate: bool, name: str | None = None
) -> Comparison:
    """What changed on one of so many machines, which share the gate's confidence; ``name`` is a node's."""
    latest = before[0]
    alike = same_machine(latest.record.machine, after.record.machine)
    found = speeds(before, after, alpha=1 - rules.confidence, same_machine=alike, machines=machines)
    margin = _MARGIN if rules.max_accuracy_drop is None else rules.max_accuracy_drop
    rows = [_row(key, latest, after, found, margin) for key in dict.fromkeys([*latest.rows, *after.rows])]
    rows = rows if name is None else [replace(row, target=at(row.target, name)) for row in rows]
    return Comparison(
        before=[run.facts for run in before],
        after=after.facts,
        same_machine=alike,
        notes=_notes(before, after, alike=alike),
        differences=differences(latest.record, after.record),
        drift=found.drift,
        rows=rows,
        gate=judged(rows, rules, same_machine=alike) if gate else None,
    )


def _without_rows(run: Run) -> Run:
    """The run as if it had measured nothing."""
    return Run(folder=run.folder, record=replace(run.record, subjects=[]))


def _joined(home: Comparison, there: Comparison, name: str) -> Comparison:
    """One comparison of what two machines saw."""
    gate = home.gate
    if gate is not None and there.gate is not None:
        outcomes = [one.outcome for one in (gate, there.gate) if one.checks]
        gate = GateResult(outcome=worst(outcomes), rules=gate.rules, checks=[*gate.checks, *there.gate.checks])
    return replace(
        home,
        notes=[*home.notes, *(f"{name}: {note}" for note in there.notes)],
        differences=[*home.differences, *(replace(one, name=at(one.name, name)) for one in there.differences)],
        drift=[*home.drift, *(replace(one, device=at(one.device, name)) for one in there.drift)],
        rows=[*home.rows, *there.rows],
        gate=gate,
    )


def _require_common(before: Run, after: Run) -> None:
    if not before.rows.keys() & after.rows.keys():
        raise UserError(
            f"{before.folder} and {after.folder} have no row in common: the first has "
            f"{', '.join(before.rows) or 'none'}; the second has {', '.join(after.rows) or 'none'}"
        )


def _row(key: str, before: Run, after: Run, found: Speeds, margin: float) -> RowChange:
    old, new = before.rows.get(key), after.rows.get(key)
    row = new or old
    assert row is not None
    was, now = before.variants.get(row.variant), after.variants.get(row.variant)
    ok = old is not None and new is not None and old.status == new.status == "ok"
    judged_on = accuracy_change(f"{row.variant}@{row.target}", before, after, margin) if ok else Accuracies()
    return RowChange(
        variant=row.variant,
        target=row.target,
        batch_size=row.batch_size,
        before=None if old is None else old.status,
        after=None if new is None else new.status,
        reason=None if new is None else new.reason,
        is_anchor=is_anchor(key, before, after),
        chain=chain_changes(was, now) if was and now else [],
        speed=found.changes.get(key),
        no_speed=found.reasons.get(key),
        accuracy=judged_on.change,
        no_accuracy=judged_on.reason,
        size=_amount(was.size_bytes, now.size_bytes) if was and now else None,
        memory=_amount(old.peak_memory_bytes, new.peak_memory_bytes) if old and new else None,
    )


def _amount(before: int | None, after: int | None) -> Amount | None:
    return None if before is None or after is None else Amount(before=before, after=after)


def _notes(before: Sequence[Run], after: Run, *, alike: bool) -> list[str]:
    latest = before[0]
    notes = []
    if not alike:
        notes.append(
            "The runs were measured on different machines. Speeds are compared by their ratios to each run's own "
            "baseline, and a change may be the machine's"
        )
    changed = changed_libraries(latest.record.machine, after.record.machine)
    if changed:
        notes.append(
            f"The versions of {', '.join(changed)} differ. What a library made slower or faster in all models alike "
            "is not seen here: it counts as the machine's"
        )
    notes += [f"{run.folder}: {UNFINISHED}" for run in (*before, after) if UNFINISHED in run.record.notes]
    return notes
