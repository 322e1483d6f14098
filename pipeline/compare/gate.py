"""Judges a comparison by rules: is anything worse than it may be?

A figure is a REGRESSION where it is worse for sure and its estimate is beyond the limit. It is KEPT where its whole
interval is within the limit. Everything else is INCONCLUSIVE.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pipeline.plan import GateRules
from pipeline.results import numbers as show
from pipeline.results.comparison import (
    AccuracyChange,
    Amount,
    Check,
    GateResult,
    Judged,
    Outcome,
    RowChange,
    SpeedChange,
)
from pipeline.results.intervals import rounded_up

_KEPT = ("EQUAL", "IMPROVED", "NO MEANINGFUL DROP", "SMALL REAL DROP")


def judged(rows: Sequence[RowChange], rules: GateRules, *, same_machine: bool) -> GateResult:
    """The gate's result on the rows that the earlier run has; a row that is new has nothing to be held against."""
    checks = [check for row in rows if row.before == "ok" for check in _checks(row, rules, same_machine=same_machine)]
    return GateResult(outcome=worst([check.outcome for check in checks]), rules=rules, checks=checks)


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """REGRESSION where there is one, else INCONCLUSIVE where there is one or where nothing was judged."""
    if "REGRESSION" in outcomes:
        return "REGRESSION"
    return "INCONCLUSIVE" if "INCONCLUSIVE" in outcomes or not outcomes else "KEPT"


def _checks(row: RowChange, rules: GateRules, *, same_machine: bool) -> Iterator[Check]:
    if row.after is None:
        settle = f"run it with {row.variant} on {row.target} at batch size {row.batch_size}"
        yield _unknown(row, "row", "the later run does not have this row", settle)
        return
    if row.after != "ok":
        yield Check(row=row.key, judged="row", outcome="REGRESSION", why=f"{row.after}: {row.reason}")
        return
    if rules.max_slowdown is not None and not row.is_anchor:
        yield _speed(row, rules.max_slowdown, rules.confidence, same_machine=same_machine)
    if rules.max_accuracy_drop is not None and (row.accuracy is not None or row.no_accuracy is not None):
        yield _accuracy(row)
    if rules.max_size_growth is not None and row.size is not None:
        yield _size(row.key, row.size, rules.max_size_growth)


def _unknown(row: RowChange, judged: Judged, why: str, settle: str) -> Check:
    return Check(row=row.key, judged=judged, outcome="INCONCLUSIVE", why=why, settle=settle)


def _speed(row: RowChange, limit: float, confidence: float, *, same_machine: bool) -> Check:
    change = row.speed
    if change is None:
        return _unknown(row, "speed", row.no_speed or "it was not timed in both runs", "measure both runs anew")
    outcome, settle = _speed_outcome(change, limit, confidence, same_machine=same_machine)
    why = f"{show.ratio(change.value, change.low, change.high)} of the earlier speed, and {_least(limit)} may be"
    return Check(row=row.key, judged="speed", outcome=outcome, why=why, settle=settle)


def _speed_outcome(
    change: SpeedChange, limit: float, confidence: float, *, same_machine: bool
) -> tuple[Outcome, str | None]:
    least = 1 / (1 + limit)
    if change.verdict == "NOISY":
        return "INCONCLUSIVE", "a run's own checks failed: measure it anew on a quieter machine"
    if change.low >= least:
        return "KEPT", None
    if change.value < least and change.high < 1 and change.p < 1 - confidence:
        if not same_machine:
            return "INCONCLUSIVE", "the machines differ: measure both runs on one of them"
        if change.verdict == "SCREENED":
            return "INCONCLUSIVE", "a quick look says no more: measure both runs with measure=default"
        return "REGRESSION", None
    return "INCONCLUSIVE", _to_settle(change, least)


def _to_settle(change: SpeedChange, least: float) -> str:
    """What makes the interval short enough: more blocks where these decide, else both in one run."""
    half_width = math.log(change.high / change.low) / 2 if change.low > 0 and math.isfinite(change.high) else math.inf
    wanted = abs(math.log(change.value / least))
    together = "time both artifacts in one run, or give more earlier runs (--against FOLDER)"
    if not math.isfinite(half_width) or wanted == 0:
        return f"longer runs (measure=thorough); or {together}"
    own = (wanted / half_width) ** 2 - change.session_share
    if own <= 0:
        return f"no longer run: how far ratios move from run to run decides here. So {together}"
    blocks = rounded_up(change.blocks * (1 - change.session_share) / own)
    more = max(blocks, change.blocks + 1)
    return f"about {show.count(more)} blocks in each run, {show.count(change.blocks)} now; or {together}"


def _least(limit: float) -> str:
    return f"{show.number(1 / (1 + limit), 3)}x"


def _accuracy(row: RowChange) -> Check:
    change = row.accuracy
    if change is None:
        why = row.no_accuracy or "it was not judged in both runs"
        return _unknown(row, "accuracy", why, "judge both runs by the same metric on the same examples")
    outcome, settle = _accuracy_outcome(change)
    unit = change.unit
    why = (
        f"{change.metric} {show.figure(change.before, unit)} → {show.figure(change.after, unit)} "
        f"({show.change(change.delta, unit)} {show.change_interval(change.low, change.high, unit)}), and a "
        f"{show.loss_word(unit)} of {show.size(change.margin, unit)} may be"
    )
    return Check(row=row.key, judged="accuracy", outcome=outcome, why=why, settle=settle)


def _accuracy_outcome(change: AccuracyChange) -> tuple[Outcome, str | None]:
    if change.verdict in _KEPT:
        return "KEPT", None
    if change.verdict == "FAILS MARGIN" or (change.verdict == "DROP" and change.delta < -change.margin):
        return "REGRESSION", None
    if change.n_to_decide is not None:
        return "INCONCLUSIVE", f"about {show.count(change.n_to_decide)} test examples, {show.count(change.n)} now"
    return "INCONCLUSIVE", f"more test examples, {show.count(change.n)} now"


def _size(key: str, size: Amount, limit: float) -> Check:
    outcome: Outcome = "REGRESSION" if size.growth > limit else "KEPT"
    why = (
        f"{show.megabytes(size.before)} MB → {show.megabytes(size.after)} MB "
        f"({show.signed(100 * size.growth, 1)} %), and {show.signed(100 * limit, 1)} % may be"
    )
    return Check(row=key, judged="size", outcome=outcome, why=why)
