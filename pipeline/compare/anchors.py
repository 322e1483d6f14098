"""What a row is timed against in each run, so that what the machine did cancels.

This is the baseline where its bytes are the same in both runs, else the fixed model. Runs of different machines are
compared by their ratios to their own baselines.
"""

from __future__ import annotations

from pipeline.analyse.cells import Cells, differences_by_round
from pipeline.analyse.speed import reference_of
from pipeline.compare.runs import Run
from pipeline.results.comparison import Anchor
from pipeline.results.header import TargetRecord
from pipeline.results.record import SubjectRecord, subject_key
from pipeline.statistics.latency import paired_ratio
from pipeline.statistics.sessions import Ratio


def anchor_of(row: SubjectRecord, before: Run, after: Run, *, same_machine: bool) -> Anchor | None:
    """What a row is timed against in both runs; None where they have nothing fixed in common."""
    reference = reference_key(after, row)
    is_reference = reference == row.key
    timed = reference in before.cells and reference in after.cells
    if not is_reference and timed and (not same_machine or same_bytes(before, after, reference)):
        return "baseline"
    probed = same_machine and row.device in before.probes and row.device in after.probes
    return "probe" if probed else None


def reference_key(run: Run, row: SubjectRecord) -> str:
    """The key of the row that a row's speed-up is over."""
    against = reference_of(row, run.record.measure)
    return subject_key(against.variant, against.target, against.batch_size)


def same_bytes(first: Run, second: Run, key: str) -> bool:
    """Whether both runs timed the same bytes in a row, on a target of the same settings."""
    timed = _timed(first, key)
    return timed is not None and timed == _timed(second, key)


def _timed(run: Run, key: str) -> tuple[str, TargetRecord | None] | None:
    """The digest of what a row timed, and its target; None where the run has no such row, or no digest of it."""
    row = run.rows.get(key)
    digest = None if row is None else run.variants[row.variant].digest
    return None if row is None or digest is None else (digest, run.record.targets.get(row.target))


def ratio(run: Run, row: SubjectRecord, anchor: Anchor) -> Ratio | None:
    """The log of a row's speed over its anchor's in a run; None where they share no block."""
    if anchor == "probe":
        against = run.probes[row.device][1] if row.device in run.probes else None
    else:
        against = run.cells.get(reference_key(run, row))
    return ratio_of(run, run.cells.get(row.key), against)


def ratio_of(run: Run, cells: Cells | None, against: Cells | None) -> Ratio | None:
    """The log of the speed of some cells over others'; None where they share no block."""
    rounds = differences_by_round(cells, against) if cells is not None and against is not None else []
    alpha = run.record.measure.look_alpha
    return Ratio.of(paired_ratio(rounds, alpha), alpha) if rounds else None


def is_anchor(key: str, before: Run, after: Run) -> bool:
    """Whether a row is one that others are held against, with the same bytes in both runs."""
    row = after.rows.get(key)
    return row is not None and reference_key(after, row) == key and same_bytes(before, after, key)
