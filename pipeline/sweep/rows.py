"""How each row of a job stands: it is recommended, or what stands against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.analyse.recommend.contest import Contest, contest
from pipeline.analyse.recommend.eligible import Row as Judged
from pipeline.analyse.recommend.eligible import accuracy_obstacles, limit_obstacles
from pipeline.report.rows import Row, all_rows, row_status
from pipeline.results.report import Report, Result, is_here
from pipeline.results.sweep import Best, Standing, SweepRow

_LOST = ("FAILS MARGIN", "DROP")


def sweep_rows(report: Report) -> list[SweepRow]:
    """A job's rows in its report's order; a variant that has no rows is left out."""
    here = {name: target for name, target in report.targets.items() if is_here(name)}
    judged = contest(replace(report, targets=here), report.variants, ())
    against = {} if judged is None else dict(judged.against)
    return [_row(report, row, row.result, judged, against) for row in all_rows(report) if row.result is not None]


def best_of(report: Report, rows: Sequence[SweepRow]) -> Best | None:
    """The row that is recommended; else the one that leads among those that keep every limit; None: there is none."""
    chosen = report.recommendation
    if chosen is not None:
        return Best(variant=chosen.variant, target=chosen.target, batch_size=chosen.batch_size, recommended=True)
    fit = [row for row in rows if row.standing in ("screened", "beaten") and row.speedup is not None]
    leading = max(fit, key=lambda row: 0.0 if row.speedup is None else row.speedup.low, default=None)
    if leading is None:
        return None
    return Best(variant=leading.variant, target=leading.target, batch_size=leading.batch_size, recommended=False)


def _row(
    report: Report, row: Row, result: Result, judged: Contest | None, against: Mapping[str, list[str]]
) -> SweepRow:
    status, reason = row_status(row)
    standing, why = _standing(report, row, result, judged, against)
    latency = result.latency_ms
    return SweepRow(
        variant=row.variant.name,
        target=result.target,
        batch_size=result.batch_size,
        status=status,
        standing=standing,
        why=why if status == "ok" else reason,
        speedup=result.speedup,
        accuracy=result.accuracy,
        p50_ms=None if latency is None else latency.p50,
        size_bytes=row.variant.size_bytes,
        peak_memory_bytes=result.peak_memory_bytes,
        digest=row.variant.digest,
    )


def _standing(
    report: Report, row: Row, result: Result, judged: Contest | None, against: Mapping[str, list[str]]
) -> tuple[Standing, str | None]:
    status, reason = row_status(row)
    if status == "failed" or result.latency_ms is None:
        return ("failed" if status == "failed" else "skipped"), reason
    if row.recommended:
        return "wins", None
    mine = Judged(variant=row.variant.name, size_bytes=row.variant.size_bytes, result=result)
    if judged is None or mine.name not in against:
        return "not compared", "the job decides on another target or batch size"
    reasons = against[mine.name]
    why = "; ".join(reasons) or None
    if reasons:
        return _obstacle(report, mine, result), why
    if mine.possible_speedup < 1:
        return "slower", None
    if mine.sure_speedup <= 1:
        return "not faster", None
    if report.measure.screening:
        return "screened", f"measure={report.measure.profile} is a quick look"
    return "beaten", None


def _obstacle(report: Report, row: Judged, result: Result) -> Standing:
    """The kind of what stands against a row, the most serious first."""
    accuracy = result.accuracy
    if accuracy is not None and accuracy.verdict in _LOST:
        return "loses too much"
    if limit_obstacles(row, report.constraints):
        return "over a limit"
    if result.speedup is not None and result.speedup.verdict == "NOISY":
        return "noisy"
    if accuracy is None or accuracy.verdict == "UNDECIDED":
        return "undecided"
    return "undecided" if accuracy_obstacles(accuracy) else "noisy"
