"""Compares a run with earlier ones, row by row. Pure: the same records give the same comparison."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.compare.accuracy import Accuracies, accuracy_change
from pipeline.compare.anchors import is_anchor
from pipeline.compare.differences import chain_changes, changed_libraries, differences, same_machine
from pipeline.compare.gate import judged
from pipeline.compare.runs import Run
from pipeline.compare.speed import Speeds, speeds
from pipeline.errors import UserError
from pipeline.plan import GateRules
from pipeline.results.comparison import Amount, Comparison, RowChange
from pipeline.results.record import UNFINISHED

_MARGIN = 0.01
"""The drop that verdicts are about where no rule names another."""


def compare(before: Sequence[Run], after: Run, rules: GateRules, *, gate: bool) -> Comparison:
    """What changed from the earlier runs, the latest first, to ``after``; with ``gate``, judged by the rules.

    Raises UserError where the runs have no row in common.
    """
    latest = before[0]
    _require_common(latest, after)
    alike = same_machine(latest.record.machine, after.record.machine)
    found = speeds(before, after, alpha=1 - rules.confidence, same_machine=alike)
    margin = _MARGIN if rules.max_accuracy_drop is None else rules.max_accuracy_drop
    rows = [_row(key, latest, after, found, margin) for key in dict.fromkeys([*latest.rows, *after.rows])]
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
