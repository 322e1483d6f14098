"""How the rows' speeds changed between runs, and what the machine did meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analyse.cells import Cells
from pipeline.compare.anchors import anchor_of, ratio, reference_key, same_bytes
from pipeline.compare.drift import drifts, shifts
from pipeline.compare.runs import Run
from pipeline.results.comparison import Anchor, Drift, SpeedChange
from pipeline.results.record import SubjectRecord
from pipeline.statistics.latency import holm, speed_verdict
from pipeline.statistics.sessions import Changed, Shifts, changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """The speeds of the rows that are in both runs."""

    changes: Mapping[str, SpeedChange]
    reasons: Mapping[str, str]
    """The reason why a row's speeds are not compared, by key."""
    drift: list[Drift]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """A row's change before p is corrected."""

    anchor: Anchor
    runs: list[Run]
    """The earlier runs that took part, the latest first."""
    changed: Changed


def speeds(before: Sequence[Run], after: Run, *, alpha: float, same_machine: bool, machines: int = 1) -> Speeds:
    """Compare the rows of ``after`` with those of the earlier runs, the latest first.

    p is Holm's over all rows, and Bonferroni's over the machines that share ``alpha``.
    """
    moved = shifts(before, after) if same_machine else {}
    found: dict[str, _Compared] = {}
    reasons: dict[str, str] = {}
    for key, row in after.rows.items():
        if key not in after.cells or key not in before[0].cells:
            continue
        anchor = anchor_of(row, before[0], after, same_machine=same_machine)
        if anchor is None:
            reasons[key] = _no_anchor(row, after)
            continue
        compared = _compared(row, anchor, before, after, moved.get(row.device, Shifts()), alpha / machines)
        if compared is None:
            reasons[key] = f"it was not timed in the same blocks as the {_NAMES[anchor]}"
        else:
            found[key] = compared
    corrected = [min(1.0, machines * p) for p in holm([one.changed.estimate.p for one in found.values()])]
    return Speeds(
        changes={key: _change(key, one, p, after) for (key, one), p in zip(found.items(), corrected, strict=True)},
        reasons=reasons,
        drift=list(drifts(before[0], after, moved)) if same_machine else [],
    )


def _no_anchor(row: SubjectRecord, after: Run) -> str:
    if row.key == reference_key(after, row):
        return "it is what others are held against, and not both runs have timed the fixed model (measure.probe=true)"
    return "the baseline's own bytes have changed, and not both runs have timed the fixed model (measure.probe=true)"


def _compared(
    row: SubjectRecord, anchor: Anchor, before: Sequence[Run], after: Run, moved: Shifts, alpha: float
) -> _Compared | None:
    """The change of a row; an earlier run takes part where the bytes of the row and its anchor are the latest's."""
    latest = before[0]
    keys = [row.key, *([reference_key(latest, row)] if anchor == "baseline" else [])]
    alike = [run for run in before if run is latest or all(same_bytes(run, latest, key) for key in keys)]
    ratios = [(run, one) for run in alike if (one := ratio(run, row, anchor)) is not None]
    now = ratio(after, row, anchor)
    if now is None or not ratios or ratios[0][0] is not latest:
        return None
    cells = after.cells[row.key]
    change = changed(
        [one for _, one in ratios], now, moved, alpha, blocks=len(cells.log_median), rounds=len(cells.calls_ms)
    )
    return _Compared(anchor=anchor, runs=[run for run, _ in ratios], changed=change)


_NAMES: Mapping[Anchor, str] = {"baseline": "baseline", "probe": "fixed model"}


def _change(key: str, found: _Compared, p: float, after: Run) -> SpeedChange:
    latest, estimate = found.runs[0], found.changed.estimate
    screening = after.record.measure.screening or latest.record.measure.screening
    return SpeedChange(
        anchor=found.anchor,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        p=p,
        verdict=speed_verdict(estimate, p, noisy=any(key in run.noisy for run in (latest, after)), screening=screening),
        before_ms=_median_ms(latest.cells[key]),
        after_ms=_median_ms(after.cells[key]),
        runs=len(found.runs),
        session_share=found.changed.session_share,
        blocks=estimate.blocks,
    )


def _median_ms(cells: Cells) -> float:
    return float(np.median(cells.all_ms))
